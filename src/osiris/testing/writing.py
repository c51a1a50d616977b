"""How every writing step behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.testing.carrying import outcomes
from osiris.testing.expectations import UNKNOWN, Behaviour, broken, differences, ending, interrupted, open_files
from osiris.testing.trial import rows_of
from osiris.testing.values import samples
from osiris.testing.ways import Kept
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from osiris.driver import Written
    from osiris.model import ComponentSpec
    from osiris.testing.expectations import Attempt


def _accounts_for_every_row(attempt: Attempt) -> Iterator[str]:
    rows, trial = attempt.case.table(), attempt.trial
    written = trial.write(rows_of(rows))
    if written.rows + written.rejected != rows.num_rows:
        yield f"it took {rows.num_rows} rows, wrote {written.rows} and rejected {written.rejected}"
    yield from _file_problems(written, attempt)
    yield from (f"{name} is left in its scratch folder" for name in trial.leftovers())


def _file_problems(written: Written, attempt: Attempt) -> Iterator[str]:
    there = attempt.trial.files()
    missing = [name for name in written.files if not _named(there, name)]
    yield from (f"it says that it wrote {name}, which is not there" for name in missing)
    size = sum(len(content) for name in written.files for content in _named(there, name).values())
    if written.files and not missing and size != written.bytes:
        yield f"it says that it wrote {written.bytes} bytes, and its files have {size}"


def _named(there: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """Return the file of that name, or all files of the folder, whose name ends with a slash."""
    return {path: there[path] for path in there if path == name or (name.endswith("/") and path.startswith(name))}


def _keeps_every_value(attempt: Attempt) -> Iterator[str]:
    rows = attempt.case.table()
    attempt.trial.write(rows_of(rows))
    yield from _target_problems(attempt, rows)


def _target_problems(attempt: Attempt, rows: pa.Table) -> Iterator[str]:
    seen = attempt.look()
    if seen is not None:
        yield from differences(rows, seen)


def _does_not_see_batches(attempt: Attempt) -> Iterator[str]:
    rows, other = attempt.case.table(), attempt.elsewhere("single")
    files = attempt.trial.write(rows_of(rows)).files
    single = other.trial.write(rows_of(rows, 1)).files
    there, here = attempt.trial.files(), other.trial.files()
    if [_named(there, name) for name in files] != [_named(here, name) for name in single]:
        yield "one batch and batches of one row give files with other bytes"
    yield from _target_problems(other, rows)


def _writes_no_rows(attempt: Attempt) -> Iterator[str]:
    written = attempt.trial.write(rows_of(attempt.case.table().slice(0, 0)))
    if written.rows:
        yield f"it took no rows, and says that it wrote {written.rows}"


def _refuses_what_it_cannot_carry(attempt: Attempt) -> Iterator[str]:
    tried = samples()
    for sample, outcome in zip(tried, outcomes(tried, Kept(attempt.trial, attempt.case.look)), strict=True):
        if outcome.changed:
            yield f"{sample.type} {sample.what}: {outcome.changed}"


def _refuses_an_unknown_key(attempt: Attempt) -> Iterator[str]:
    schema = schema_of(attempt.case.table().schema)
    yield from attempt.refusal(lambda: attempt.trial.changed(config={"primary_key": [UNKNOWN]}).check(schema), UNKNOWN)


def _shows_the_old_or_the_new(attempt: Attempt) -> Iterator[str]:
    rows, trial = attempt.case.table(), attempt.trial
    half = rows.slice(rows.num_rows // 2)
    trial.write(rows_of(half))
    before = trial.files()
    with open_files() as left:
        yield from interrupted(lambda: trial.write(broken(rows)))
    yield from (f"{path} is still open after it was interrupted" for path in left)
    yield from _changes(before, attempt)
    yield from _target_problems(attempt, half)
    if _replaces(attempt):
        trial.write(rows_of(rows))
        yield from _target_problems(attempt, rows)


def _changes(before: dict[str, bytes], attempt: Attempt) -> Iterator[str]:
    after = attempt.trial.files()
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"it was interrupted, and {name} is not as before"
    yield from (f"{name} is left in its scratch folder" for name in attempt.trial.leftovers())


def _replaces(attempt: Attempt) -> bool:
    return attempt.spec.delivery == "atomic_replace" or attempt.case.config.get("write_mode") == "replace"


def _stops_when_asked(attempt: Attempt) -> Iterator[str]:
    rows = attempt.case.table()
    asked = attempt.trial.changed(cancelled=lambda: True)
    yield from ending(lambda: asked.write(rows_of(rows, 1)))
    yield from (f"{name} is left in its scratch folder" for name in asked.leftovers())


def _delivers_once(attempt: Attempt) -> Iterator[str]:
    rows = attempt.case.table()
    run = attempt.trial.changed(run_key="tests/1", plan="0" * 64, digest=lambda: {"rows": rows.num_rows})
    run.write(rows_of(rows))
    again = run.write(rows_of(rows.slice(1)))
    if again.earlier != {"rows": rows.num_rows}:
        yield "the same step of the same run delivers again, instead of giving the digest of what it has delivered"
    yield from _target_problems(attempt, rows)


def _has_key(spec: ComponentSpec) -> bool:
    return "primary_key" in spec.config["properties"]


def _is_exact(spec: ComponentSpec) -> bool:
    return spec.delivery == "exactly_once"


WRITING = (
    Behaviour("accounts for every row", "write", _accounts_for_every_row),
    Behaviour("does not see batches", "write", _does_not_see_batches),
    Behaviour("writes no rows", "write", _writes_no_rows),
    Behaviour("refuses what it cannot carry", "write", _refuses_what_it_cannot_carry),
    Behaviour("refuses an unknown key", "write", _refuses_an_unknown_key, (), _has_key),
    Behaviour("shows the old or the new", "write", _shows_the_old_or_the_new),
    Behaviour("stops when asked", "write", _stops_when_asked),
    Behaviour("delivers once", "write", _delivers_once, (), _is_exact),
    Behaviour("keeps every value", "write", _keeps_every_value, ("look",)),
)
