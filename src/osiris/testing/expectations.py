"""What the behaviours have in common: one attempt at a component, refusals that are expected, what is left open."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import OsirisError
from osiris.table import Digester, stream
from osiris.testing.values import compare
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from osiris.model import ComponentSpec, JsonValue, Mode
    from osiris.table import RowStream
    from osiris.testing.trial import Case, Trial

LONGEST = 10.0
"""Seconds that a step may take to end once it was asked to."""

_OPEN_FILES = Path("/proc/self/fd")
_PATIENCE, _POLL, _STEADY = 30.0, 0.05, 3

UNKNOWN = "no_such_column"


class Interruption(BaseException):
    """Stands for whatever breaks a stream: not an Exception, as little as what really stops a step."""


class Behaviour(NamedTuple):
    """One promise: a sentence about a component, how it is tried, and what of a case that needs."""

    name: str
    mode: Mode
    problems: Callable[[Attempt], Iterator[str]]
    needs: tuple[str, ...] = ()
    applies: Callable[[ComponentSpec], bool] = lambda _spec: True


@dataclass(frozen=True, slots=True)
class Attempt:
    """A component that is tried: its spec, a case, and a step of it below a folder of its own."""

    spec: ComponentSpec
    case: Case
    trial: Trial

    def elsewhere(self, name: str) -> Attempt:
        """Return the same in another empty folder."""
        root = self.trial.root / name
        root.mkdir()
        return replace(self, trial=replace(self.trial, root=root))

    def fill(self, rows: pa.Table | None = None) -> None:
        """Put rows where the step reads, if the case can; they are its own unless others are given."""
        if self.case.fill:
            self.case.fill(self.trial.root, self.case.table() if rows is None else rows)

    def look(self) -> pa.Table | None:
        """Return the rows at the target, if the case can see them."""
        return self.case.look(self.trial.root) if self.case.look else None

    def refusal(self, call: Callable[[], object], names: str = "") -> Iterator[str]:
        """Yield a problem unless a call is refused with a code, in a message that has `names` in it."""
        try:
            call()
        except OsirisError as error:
            told = " / ".join(f"{found.message} {found.hint or ''}" for found in error.diagnostics)
            self.trial.told.append(("refused", {"message": told}))
            if names not in told:
                yield f"it is refused, and the message does not name '{names}': {told}"
        else:
            yield "it is not refused"


def digest_of(rows: RowStream) -> JsonValue:
    """Return the digest of a stream, after reading it."""
    digester = Digester(rows.schema, rows.order)
    for batch in rows.batches():
        digester.update(batch)
    return digester.result()


def differences(sent: pa.Table, found: pa.Table) -> Iterator[str]:
    """Yield in what rows that came back are not those that were sent, whatever their order and their exact types."""
    if found.column_names != sent.column_names:
        yield f"the columns are {found.column_names}, and were {sent.column_names}"
    elif found.num_rows != sent.num_rows:
        yield f"there are {found.num_rows} rows, and were {sent.num_rows}"
    else:
        first = sent.column_names[0]
        before, after = (table.sort_by(first) for table in (sent, found)) if sent.num_rows else (sent, found)
        for name in sent.column_names:
            if changed := compare(before[name], after[name]).changed:
                yield f"column '{name}': {changed}"


def broken(rows: pa.Table) -> RowStream:
    """Return rows in batches of one; after the first the stream breaks."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield rows.slice(0, 1).to_batches()[0]
        raise Interruption

    return stream(schema_of(rows.schema), batches(), "fixed")


def interrupted(call: Callable[[], object]) -> Iterator[str]:
    """Yield a problem unless a call ends with the interruption of the rows that it reads."""
    try:
        call()
    except Interruption:
        return
    except OsirisError as error:
        yield f"its input was interrupted, and it says: {error}"
    else:
        yield "its input was interrupted, and it ended well"


def ending(call: Callable[[], object]) -> Iterator[str]:
    """Yield a problem unless a call that was asked to stop ends soon, by itself or with a code."""
    began = time.monotonic()
    with suppress(OsirisError):
        call()
    if time.monotonic() - began > LONGEST:
        yield f"it did not end within {LONGEST:g} s after it was asked to"


@contextmanager
def open_files() -> Iterator[list[str]]:
    """Give a list that holds, after the block, the files that were opened in it and stay open.

    A library may close a file in a thread of its own, a moment later.
    """
    left: list[str] = []
    before = _settled()
    yield left
    until = time.monotonic() + _PATIENCE
    while True:
        opened = sorted((_open_now() - before).elements())
        still = [path for path in opened if path.startswith("/") and not path.startswith("/dev/")]
        if not still or time.monotonic() >= until:
            break
        time.sleep(_POLL)
    left += still


def _settled() -> Counter[str]:
    """Return how often each file is open, once that has been the same for some moments."""
    found, same, until = _open_now(), 0, time.monotonic() + _PATIENCE
    while same < _STEADY and time.monotonic() < until:
        time.sleep(_POLL)
        again = _open_now()
        found, same = again, same + 1 if again == found else 0
    return found


def _open_now() -> Counter[str]:
    """Return how often each file is open in this process; nothing where the system is not Linux."""
    files: Counter[str] = Counter()
    for link in _OPEN_FILES.iterdir() if _OPEN_FILES.is_dir() else ():
        with suppress(OSError):  # the one that lists them is gone
            files[str(link.readlink())] += 1
    return files
