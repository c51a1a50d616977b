"""Rows that wait in a file until their target is opened.

A writer takes all of its input before it opens its target for writing. So a step that reads the same database file has
finished by then, nobody is kept out of a database for longer than one transaction takes, and a source that fails has
touched nothing.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.files import fail_os, make_private
from osiris.table import counted, spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.table import RowStream


@dataclass(frozen=True, slots=True)
class Staged:
    """Rows that wait in a file of the step's scratch folder; `rows` of them, `size` bytes in memory."""

    rows: int
    size: int
    open: Callable[[], RowStream]


@contextmanager
def staged(rows: RowStream, ctx: StepContext) -> Iterator[Staged]:
    """Take all rows into a file, and remove it afterwards; fails with DRV004 or DRV006 where it cannot be written."""
    make_private(ctx.scratch)
    path = ctx.scratch / "rows.arrow"
    try:
        yield _take(rows, path)
    finally:
        path.unlink(missing_ok=True)


def _take(rows: RowStream, path: Path) -> Staged:
    count = Counter[str]()
    try:
        reopen = spool(counted(rows, lambda number: count.update(rows=number)), path)
    except OSError as error:
        if rows.raised:
            raise
        fail_os(error, path)
    return Staged(count["rows"], path.stat().st_size, reopen)
