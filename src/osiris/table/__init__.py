"""The data that flows: a schema and a stream of Arrow record batches, read once, and digests of what flowed."""

from osiris.table.digest import Digester
from osiris.table.stream import (
    Relation,
    RowStream,
    ahead,
    counted,
    digested,
    own_errors,
    passed_on,
    reopen,
    spool,
    stream,
)

__all__ = [
    "Digester",
    "Relation",
    "RowStream",
    "ahead",
    "counted",
    "digested",
    "own_errors",
    "passed_on",
    "reopen",
    "spool",
    "stream",
]
