"""The error of an author: a lab file, a script, a line of the command language."""

from __future__ import annotations


class LabError(Exception):
    """Something that cannot be taken as it is written. str(): `file:line: what is wrong, and what was expected`."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}" if where else what)
        self.where = where
        self.what = what
