"""MySQL and MariaDB servers, by PyMySQL: a driver that every machine can install and that lets one transaction
span all tables.
"""
