"""Data between steps: a schema and a stream of Arrow record batches that is read once, and digests of it."""

from osiris.table.digest import Digester
from osiris.table.stream import (
    Relation,
    RowStream,
    ahead,
    counted,
    digested,
    keep_rows,
    own_errors,
    passed_on,
    reopen,
    spool,
    stream,
)
from osiris.table.validity import finite

__all__ = [
    "Digester",
    "Relation",
    "RowStream",
    "ahead",
    "counted",
    "digested",
    "finite",
    "keep_rows",
    "own_errors",
    "passed_on",
    "reopen",
    "spool",
    "stream",
]
