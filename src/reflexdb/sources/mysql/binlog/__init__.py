"""Follows a MySQL or MariaDB server's row-based binary log: from the bytes of events to committed row changes.

The decoders (events, tablemap, cells, images) take bytes and know no socket; client.py has the socket and knows no
event; transactions.py makes transactions of events; follower.py puts them together behind `sources/changes.py`.
"""
