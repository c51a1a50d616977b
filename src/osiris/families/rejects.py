"""Rows that are set aside instead of failing a step (`on_reject: quarantine`): one line of `rejected.csv` for each."""

from __future__ import annotations

import csv
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple, TextIO

from osiris.files import fail_os

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osiris.driver import StepContext

FILE = "rejected.csv"
MAX_VALUE = 1000
"""How many characters of a value are kept."""


class Reject(NamedTuple):
    """Why a row was set aside: its file and line, the column and its value, empty where the whole row is meant."""

    file: str
    line: int
    column: str
    value: str
    reason: str


@contextmanager
def quarantine(ctx: StepContext) -> Iterator[Callable[[Reject], None]]:
    """Give what takes rejects: it writes them among the step's artifacts, and counts them as read and rejected.

    The file is made with the first of them; how many it holds is told when the block ends well.
    """
    path, rows = ctx.artifacts / FILE, 0
    file: TextIO | None = None

    def take(reject: Reject) -> None:
        nonlocal file, rows
        try:
            if file is None:
                # By lines, so that an error appears here and not when the file is closed.
                opened = path.open("w", encoding="utf-8", errors="backslashreplace", newline="", buffering=1)
                file = closing.enter_context(opened)
                csv.writer(file, lineterminator="\n").writerow(Reject._fields)
            value = ctx.masked(reject.value)[
                :MAX_VALUE
            ]  # in this order: part of a secret could not be told from others
            csv.writer(file, lineterminator="\n").writerow(
                reject._replace(value=value, reason=ctx.masked(reject.reason))
            )
        except OSError as error:
            fail_os(error, path)
        rows += 1
        ctx.count("rows_read", 1)
        ctx.count("rows_rejected", 1)

    with ExitStack() as closing:
        yield take
        if rows:
            ctx.emit("rows_quarantined", {"file": FILE, "rows": rows})
