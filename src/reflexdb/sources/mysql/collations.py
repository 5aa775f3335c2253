"""Tells by which collation the servers compare the texts of a column. Pure."""

from __future__ import annotations

from reflexdb.model.storage import Storage


def collation_of(storage: Storage | None, collation: str | None) -> str:
    """The collation of a column; empty where equal values are equal bytes: no text, or one without folding or padding.
    `utf8mb4_bin` pads: to it `'a'` is `'a '`.
    """
    if storage is not Storage.TEXT or collation is None:
        return ""
    return "" if collation == "binary" or collation.endswith(("_0900_bin", "_nopad_bin")) else collation
