"""Behaviours required of every component of a mode, each tested in its own folder.

`suite` is a parametrized pytest test of all of them, and of the component's spec.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.model import Field, resolve_order
from osiris.registry import Registry, load_registry
from osiris.secret import Secret
from osiris.table import Digester, stream
from osiris.testing.component import check_component
from osiris.testing.trial import Case, example_case, fresh_folder, rows_of, table_of
from osiris.testing.values import Kept, compare, outcomes, samples
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from osiris.model import ComponentSpec, Described, JsonValue, Mode
    from osiris.table import RowStream
    from osiris.testing.trial import Trial


LONGEST = 10.0
"""Seconds for a step to end after a stop request, and for the files that it opened to be closed."""

_OPEN_FILES = Path("/proc/self/fd")
_POLL, _STEADY = 0.05, 3

UNKNOWN = "no_such_column"


class Interruption(BaseException):
    """Interrupts a stream in tests; not an Exception, like what really stops a step."""


class Behaviour(NamedTuple):
    """One behaviour: its name, the function that yields problems, and the fields of a case it needs."""

    name: str
    mode: Mode
    problems: Callable[[Attempt], Iterator[str]]
    needs: tuple[str, ...] = ()
    applies: Callable[[ComponentSpec], bool] = lambda _spec: True


@dataclass(frozen=True, slots=True)
class Attempt:
    """A component under test: its spec, a case, and a step in its own folder."""

    spec: ComponentSpec
    case: Case
    trial: Trial

    def elsewhere(self, name: str) -> Attempt:
        """Return the same attempt in another empty folder."""
        root = self.trial.root / name
        root.mkdir()
        return replace(self, trial=replace(self.trial, root=root))

    def fill(self, rows: pa.Table | None = None) -> None:
        """Put rows, by default the case's own, where the step reads them, if the case can."""
        if self.case.fill:
            self.case.fill(self.trial.root, self.case.table() if rows is None else rows)

    def files(self) -> dict[str, bytes]:
        """Return the files of the target; without content if opening changes them."""
        files = self.trial.files()
        return dict.fromkeys(files, b"") if self.case.changes_when_opened else files

    def look(self) -> pa.Table | None:
        """Return the rows at the target, if the case can read them."""
        return self.case.look(self.trial.root) if self.case.look else None

    def refusal(self, call: Callable[[], object], names: str = "") -> Iterator[str]:
        """Yield a problem unless a call is rejected with a code and a message that contains `names`."""
        try:
            call()
        except OsirisError as error:
            text = " / ".join(f"{item.message} {item.hint or ''}" for item in error.diagnostics)
            self.trial.emitted.append(("refused", {"message": text}))
            if names not in text:
                yield f"it is refused, and the message does not name '{names}': {text}"
        else:
            yield "it is not refused"


def digest_of(rows: RowStream) -> JsonValue:
    """Return the digest of a stream, after reading it."""
    digester = Digester(rows.schema, rows.order)
    for batch in rows.batches():
        digester.update(batch)
    return digester.result()


def differences(sent: pa.Table, received: pa.Table) -> Iterator[str]:
    """Yield the differences between rows sent and received, ignoring order and exact types."""
    if received.column_names != sent.column_names:
        yield f"the columns are {received.column_names}, and were {sent.column_names}"
    elif received.num_rows != sent.num_rows:
        yield f"there are {received.num_rows} rows, and were {sent.num_rows}"
    else:
        first = sent.column_names[0]
        before, after = (table.sort_by(first) for table in (sent, received)) if sent.num_rows else (sent, received)
        for name in sent.column_names:
            if changed := compare(before[name], after[name]).changed:
                yield f"column '{name}': {changed}"


def broken(rows: pa.Table) -> RowStream:
    """Return rows in batches of one; the stream is interrupted after the first."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield rows.slice(0, 1).to_batches()[0]
        raise Interruption

    return stream(schema_of(rows.schema), batches(), "fixed")


def interrupted(call: Callable[[], object]) -> Iterator[str]:
    """Yield a problem unless a call raises the interruption of its input."""
    try:
        call()
    except Interruption:
        return
    except OsirisError as error:
        yield f"its input was interrupted, and it says: {error}"
    else:
        yield "its input was interrupted, and it ended well"


def ending(call: Callable[[], object]) -> Iterator[str]:
    """Yield a problem unless a call that was asked to stop ends in time, normally or with a code."""
    began = time.monotonic()
    with suppress(OsirisError):
        call()
    if time.monotonic() - began > LONGEST:
        yield f"it did not end within {LONGEST:g} s after it was asked to"


@contextmanager
def open_files() -> Iterator[list[str]]:
    """Provide a list that contains, after the block, the files opened in it and still open.

    A library may close a file slightly later, in another thread.
    """
    left: list[str] = []
    before, same, until = _open_now(), 0, time.monotonic() + LONGEST
    while same < _STEADY and time.monotonic() < until:  # until the open files are stable
        time.sleep(_POLL)
        again = _open_now()
        before, same = again, same + 1 if again == before else 0
    yield left
    until = time.monotonic() + LONGEST
    while True:
        opened = sorted((_open_now() - before).elements())
        still = [path for path in opened if path.startswith("/") and not path.startswith("/dev/")]
        if not still or time.monotonic() >= until:
            break
        time.sleep(_POLL)
    left += still


def _open_now() -> Counter[str]:
    """Return how often each file is open in this process; empty if the system is not Linux."""
    files: Counter[str] = Counter()
    for link in _OPEN_FILES.iterdir() if _OPEN_FILES.is_dir() else ():
        with suppress(OSError):  # the descriptor of the listing itself is closed
            files[str(link.readlink())] += 1
    return files


# --- What several kinds of steps promise ------------------------------------------------------------------------------


def _left_in_scratch(trial: Trial) -> Iterator[str]:
    yield from (f"{name} is left in its scratch folder" for name in trial.leftovers())


def _description_problems(rows: RowStream, described: Described, order: str) -> Iterator[str]:
    if rows.schema != described.schema:
        yield f"it describes {described.schema} and gives {rows.schema}"
    if rows.order != order:
        yield f"it describes the order '{order}' and gives '{rows.order}'"


def _has_key(key: str) -> Callable[[ComponentSpec], bool]:
    return lambda spec: key in spec.config["properties"]


def _releases(trial: Trial, rows: Callable[[], RowStream]) -> Iterator[str]:
    with open_files() as left, closing(rows().batches()) as batches:
        next(batches, None)
    yield from (f"{path} is still open after the rows were let go of" for path in left)
    yield from _left_in_scratch(trial)


def _stops(attempt: Attempt, run: Callable[[Trial], object]) -> Iterator[str]:
    stopping = attempt.trial.changed(cancelled=lambda: True)
    yield from ending(lambda: run(stopping))
    yield from _left_in_scratch(stopping)


# --- Reading steps ----------------------------------------------------------------------------------------------------


def _reads_what_it_describes(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    trial = attempt.trial
    described = trial.describe()
    rows = trial.read(described.schema)
    yield from _description_problems(rows, described, described.order)
    table = table_of(rows)
    for column in described.schema or ():
        if not column.nullable and table[column.name].null_count:
            yield f"column '{column.name}' cannot be NULL, and is"
    if trial.describe() != described:
        yield "asked again, it describes something else"


def _rereads_the_same_rows(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    first, second = (digest_of(attempt.trial.read()) for _ in range(2))
    if first != second:
        yield "reading twice gives other rows"


def _reads_every_value(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    yield from differences(attempt.case.table(), table_of(attempt.trial.read()))


def _reads_an_empty_source(attempt: Attempt) -> Iterator[str]:
    attempt.fill(attempt.case.table().slice(0, 0))
    try:
        rows = table_of(attempt.trial.read())
    except OsirisError:  # where columns are inferred from rows
        return
    if rows.num_rows:
        yield f"there are no rows, and it gives {rows.num_rows}"


def _counts_every_row_read(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    trial = attempt.trial.changed()
    given = table_of(trial.read()).num_rows
    given += trial.counts["rows_rejected"] + trial.counts["rows_filtered"]
    read = trial.counts.get("rows_read", given)
    if read != given:
        yield f"it counts {read} rows, and gives, rejects and filters {given}"


def _releases_its_source(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    attempt.trial.describe()  # a database may stay open once per process; a second read must not open more
    yield from _releases(attempt.trial, attempt.trial.read)


def _reading_stops(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    schema = attempt.trial.describe().schema
    yield from _stops(attempt, lambda stopping: table_of(stopping.read(schema)))


def _refuses_a_missing_source(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    schema = attempt.trial.describe().schema
    empty = attempt.elsewhere("nothing").trial
    yield from attempt.refusal(empty.describe)
    yield from attempt.refusal(lambda: table_of(empty.read(schema)))


def _refuses_an_unknown_column(attempt: Attempt) -> Iterator[str]:
    attempt.fill()
    yield from attempt.refusal(attempt.trial.changed(config={"columns": [UNKNOWN]}).describe, UNKNOWN)


def _confirms_what_is_unchanged(attempt: Attempt) -> Iterator[str]:
    trial, rows = attempt.trial, attempt.case.table()
    if not trial.has("confirm"):
        return
    attempt.fill()
    described = trial.describe()
    state = trial.confirm(described.schema or ())
    if state != described.state:
        yield f"the state of an unchanged source is '{described.state}' when described and '{state}' when confirmed"
    other = attempt.elsewhere("changed")
    other.fill(rows.rename_columns([*rows.column_names[:-1], UNKNOWN]))
    yield from attempt.refusal(lambda: other.trial.confirm(described.schema or ()))


# --- Transforming steps -----------------------------------------------------------------------------------------------


def _inputs(attempt: Attempt, rows: pa.Table | None = None, size: int | None = None) -> dict[str, RowStream]:
    """Return as many inputs as the component needs, at least one if it accepts any."""
    least, most = attempt.spec.inputs
    count = least or (0 if most == 0 else 1)
    table = attempt.case.table() if rows is None else rows
    return {f"input{number}": rows_of(table, size) for number in range(1, count + 1)}


def _makes_what_it_describes(attempt: Attempt) -> Iterator[str]:
    trial, inputs = attempt.trial, _inputs(attempt)
    described = trial.describe({name: rows.schema for name, rows in inputs.items()})
    rows = trial.transform(inputs, described.schema)
    order = resolve_order(described.order, (source.order for source in inputs.values()))
    yield from _description_problems(rows, described, order)
    table_of(rows)


def _transforms_any_batches(attempt: Attempt) -> Iterator[str]:
    joined, single = (digest_of(attempt.trial.transform(_inputs(attempt, size=size))) for size in (None, 1))
    if joined != single:
        yield "one batch and batches of one row give other rows"


def _takes_no_rows(attempt: Attempt) -> Iterator[str]:
    given = _inputs(attempt, attempt.case.table().slice(0, 0))
    described = attempt.trial.describe({name: rows.schema for name, rows in given.items()})
    rows = attempt.trial.transform(given, described.schema)
    if table_of(rows).schema.names != [column.name for column in described.schema or ()]:
        yield "without rows it gives other columns"


def _refuses_strange_columns(attempt: Attempt) -> Iterator[str]:
    schema = schema_of(attempt.case.table().schema)
    strange = tuple(Field(f"{UNKNOWN}_{number}", column.type) for number, column in enumerate(schema))
    try:
        described = attempt.trial.describe(dict.fromkeys(_inputs(attempt), strange))
    except OsirisError:
        return
    if described.schema is None:
        yield "it has no schema for columns that it does not know, and does not refuse them"


def _passes_on_what_interrupts_it(attempt: Attempt) -> Iterator[str]:
    table, trial = attempt.case.table(), attempt.trial
    yield from interrupted(lambda: table_of(trial.transform({name: broken(table) for name in _inputs(attempt)})))
    yield from _left_in_scratch(trial)


def _transforming_stops(attempt: Attempt) -> Iterator[str]:
    yield from _stops(attempt, lambda stopping: table_of(stopping.transform(_inputs(attempt, size=1))))


def _releases_its_inputs(attempt: Attempt) -> Iterator[str]:
    yield from _releases(attempt.trial, lambda: attempt.trial.transform(_inputs(attempt, size=1)))


# --- Writing steps ----------------------------------------------------------------------------------------------------


def _counts_every_row_written(attempt: Attempt) -> Iterator[str]:
    rows, trial = attempt.case.table(), attempt.trial
    written = trial.write(rows_of(rows))
    if written.rows + written.rejected != rows.num_rows:
        yield f"it took {rows.num_rows} rows, wrote {written.rows} and rejected {written.rejected}"
    there = attempt.trial.files()
    missing = [name for name in written.files if not _named(there, name)]
    yield from (f"it says that it wrote {name}, which is not there" for name in missing)
    size = sum(len(content) for name in written.files for content in _named(there, name).values())
    if written.files and not missing and size != written.bytes:
        yield f"it says that it wrote {written.bytes} bytes, and its files have {size}"
    yield from _left_in_scratch(trial)


def _named(there: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """Return the file of that name, or all files of a folder, given with a trailing slash."""
    return {path: there[path] for path in there if path == name or (name.endswith("/") and path.startswith(name))}


def _writes_every_value(attempt: Attempt) -> Iterator[str]:
    rows = attempt.case.table()
    attempt.trial.write(rows_of(rows))
    yield from _target_problems(attempt, rows)


def _target_problems(attempt: Attempt, rows: pa.Table) -> Iterator[str]:
    received = attempt.look()
    if received is not None:
        yield from differences(rows, received)


def _writes_any_batches(attempt: Attempt) -> Iterator[str]:
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
    before = attempt.files()
    with open_files() as left:
        yield from interrupted(lambda: trial.write(broken(rows)))
    yield from (f"{path} is still open after it was interrupted" for path in left)
    after = attempt.files()
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"it was interrupted, and {name} is not as before"
    yield from _left_in_scratch(attempt.trial)
    yield from _target_problems(attempt, half)
    if attempt.spec.delivery == "atomic_replace" or attempt.case.config.get("write_mode") == "replace":
        trial.write(rows_of(rows))
        yield from _target_problems(attempt, rows)


def _writing_stops(attempt: Attempt) -> Iterator[str]:
    rows = attempt.case.table()
    yield from _stops(attempt, lambda stopping: stopping.write(rows_of(rows, 1)))


def _delivers_once(attempt: Attempt) -> Iterator[str]:
    rows = attempt.case.table()
    run = attempt.trial.changed(run_key="tests/1", plan="0" * 64, digest=lambda: {"rows": rows.num_rows})
    run.write(rows_of(rows))
    again = run.write(rows_of(rows.slice(1)))
    if again.earlier != {"rows": rows.num_rows}:
        yield "the same step of the same run delivers again, instead of giving the digest of what it has delivered"
    yield from _target_problems(attempt, rows)


BEHAVIOURS = (
    Behaviour("gives what it describes", "read", _reads_what_it_describes),
    Behaviour("gives the same again", "read", _rereads_the_same_rows),
    Behaviour("accounts for every row", "read", _counts_every_row_read),
    Behaviour("lets go of its source", "read", _releases_its_source),
    Behaviour("stops when asked", "read", _reading_stops),
    Behaviour("keeps every value", "read", _reads_every_value, ("fill",)),
    Behaviour("reads an empty source", "read", _reads_an_empty_source, ("fill",)),
    Behaviour("refuses a missing source", "read", _refuses_a_missing_source, ("fill",)),
    Behaviour("refuses an unknown column", "read", _refuses_an_unknown_column, ("fill",), _has_key("columns")),
    Behaviour("confirms what is unchanged", "read", _confirms_what_is_unchanged, ("fill",)),
    Behaviour("gives what it describes", "transform", _makes_what_it_describes),
    Behaviour("does not see batches", "transform", _transforms_any_batches),
    Behaviour("takes no rows", "transform", _takes_no_rows),
    Behaviour("refuses strange columns", "transform", _refuses_strange_columns),
    Behaviour("passes on what interrupts it", "transform", _passes_on_what_interrupts_it),
    Behaviour("stops when asked", "transform", _transforming_stops),
    Behaviour("lets go of its inputs", "transform", _releases_its_inputs),
    Behaviour("accounts for every row", "write", _counts_every_row_written),
    Behaviour("does not see batches", "write", _writes_any_batches),
    Behaviour("writes no rows", "write", _writes_no_rows),
    Behaviour("refuses what it cannot carry", "write", _refuses_what_it_cannot_carry),
    Behaviour("refuses an unknown key", "write", _refuses_an_unknown_key, (), _has_key("primary_key")),
    Behaviour("shows the old or the new", "write", _shows_the_old_or_the_new),
    Behaviour("stops when asked", "write", _writing_stops),
    Behaviour("delivers once", "write", _delivers_once, (), lambda spec: spec.delivery == "exactly_once"),
    Behaviour("keeps every value", "write", _writes_every_value, ("look",)),
)
# --- Trying them ------------------------------------------------------------------------------------------------------


SPEC = "does what its spec says"


def behaviours(name: str, case: Case | None = None, registry: Registry | None = None) -> list[str]:
    """Return the behaviours that can be tested with a case (None: the first example of the spec)."""
    used, applying = _case_and_behaviours(name, case, registry)
    return [each.name for each in applying if _has_all(each, used)]


def untried(name: str, case: Case | None = None, registry: Registry | None = None) -> dict[str, Diagnostic]:
    """Return the behaviours that the case does not support, each with the note REG006."""
    used, applying = _case_and_behaviours(name, case, registry)
    left = (each for each in applying if not _has_all(each, used))
    return {each.name: diagnostic("REG006", name=name, behaviours=each.name) for each in left}


def check_behaviour(
    name: str, behaviour: str, case: Case | None = None, registry: Registry | None = None
) -> list[Diagnostic]:
    """Return the problems of a component with a behaviour, as REG005; an empty list is a pass.

    An unexpected OsirisError is such a problem; other exceptions of a driver are not caught.
    """
    installed = registry or load_registry()
    spec = installed.get(name)
    used, applying = _case_and_behaviours(name, case, installed)
    (tried,) = (each for each in applying if each.name == behaviour)
    with fresh_folder() as root:
        attempt = Attempt(spec, used, used.trial(installed, name, root))
        problems: list[str] = []
        try:
            problems.extend(tried.problems(attempt))
        except OsirisError as error:
            problems.append(f"it is refused: {error}")
        problems += _leaked_secrets(attempt, problems)
    return [diagnostic("REG005", name=name, behaviour=behaviour, problem=problem) for problem in problems]


def suite(name: str, case: Case | None = None, registry: Registry | None = None) -> Callable[[str], None]:
    """Return a pytest test of all behaviours of a component; assign it to a name that begins with `test`.

    Behaviours that the case does not support are skipped with the note REG006. Fails with CMP001 if the component is
    not installed.
    """
    import pytest

    left = untried(name, case, registry)

    @pytest.mark.parametrize("promise", [SPEC, *behaviours(name, case, registry), *left])
    def test(promise: str) -> None:
        if promise in left:
            pytest.skip(f"{left[promise].code} {left[promise].message}; {left[promise].hint}")
        of_spec = promise == SPEC
        problems = check_component(name, registry) if of_spec else check_behaviour(name, promise, case, registry)
        if problems:
            pytest.fail("\n".join(f"{problem.code} {problem.message}" for problem in problems), pytrace=False)

    return test


def _case_and_behaviours(name: str, case: Case | None, registry: Registry | None) -> tuple[Case, list[Behaviour]]:
    spec = (registry or load_registry()).get(name)
    return case or example_case(spec), [each for each in BEHAVIOURS if each.mode in spec.modes and each.applies(spec)]


def _has_all(behaviour: Behaviour, case: Case) -> bool:
    return all(getattr(case, need) is not None for need in behaviour.needs)


def _leaked_secrets(attempt: Attempt, problems: list[str]) -> list[str]:
    """Return the secrets of the connection revealed in events, messages or artifacts."""
    artifacts = attempt.trial.root / ".step" / "artifacts"
    written = [path.read_text(encoding="utf-8", errors="replace") for path in artifacts.rglob("*") if path.is_file()]
    output = "\n".join([json.dumps(attempt.trial.emitted, default=repr, ensure_ascii=False), *problems, *written])
    secrets = {field: value for field, value in attempt.trial.fields().items() if isinstance(value, Secret)}
    return [f"it reveals the secret '{field}'" for field, value in secrets.items() if value.reveal() in output]
