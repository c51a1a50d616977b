"""The states of pipelines with a cursor: what they are, and moving them by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, NoReturn

from osiris.api.replication import tables_without_cursor
from osiris.api.workspace import find_plan, pipelines, shown
from osiris.compare.lineage import label_of
from osiris.delivery import MANIFEST
from osiris.errors import (
    Diagnostic,
    Location,
    OsirisError,
    diagnostic,
    fail,
    nearest,
    raise_all,
)
from osiris.model import schema_from_json
from osiris.replication import BY_HAND, NO_STATE, Cursor, State, StateChange, parse_value, place_of, value_text
from osiris.replication import Pair as Replicated
from osiris.types import parse_type
from osiris.units import count, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue, Manifest
    from osiris.replication import Value
    from osiris.runner.protocol import Secrets

_EXAMPLES = {"timestamp": "2025-01-31T06:00:00", "date": "2025-01-31"}
_RUNS_NAMED = 3
_MAY_HAVE_CURSOR = re.compile(r"\b(cursor|replicate)\b")
_RUN = {"run.id": "state", "run.started_at": "1970-01-01T00:00:00Z"}
"""Values of `${run.…}` outside of a run."""


@dataclass(slots=True)
class Pair:
    """A writer with a state: its steps in a plan, and what its target has of the state.

    `kept` is the number of delivered rows that are recognized if they are read again. `file` is the pipeline's file if
    all pipelines are listed.
    """

    plan: Manifest
    writer: Mapping[str, JsonValue]
    reader: Mapping[str, JsonValue]
    version: int = 0
    state: State | None = None
    kept: int = 0
    file: str = ""
    diagnostics: list[Diagnostic] = field(default_factory=list)

    @property
    def source(self) -> str:
        """What is read, as the state is named by."""
        return str(self.writer["state"]["source"])

    @property
    def target(self) -> str:
        """What is written, `@family.alias.table`."""
        return label_of(self.writer, self.plan.data["connections"])

    @property
    def names(self) -> set[str]:
        """The names by which it can be meant."""
        return {*_names(self.writer, self.reader), self.source, self.target}

    @property
    def cursor(self) -> Cursor:
        """The cursor of the plan."""
        cursor = Cursor.of(self.reader["config"])
        return cursor or Cursor("", "none")

    @property
    def appends(self) -> bool:
        """Whether rows that are read again are added."""
        return bool(self.writer["config"].get("write_mode") != "upsert")

    @property
    def kind(self) -> str:
        """The type of the cursor column; "" if there is none."""
        name = self.cursor.column
        types = {column.name: column.type for column in schema_from_json(self.reader["schema"] or [])}
        read = self.state.columns if self.state and name in self.reader["config"].get("cast", {}) else None
        return (read or {}).get(name) or types.get(name, "")

    @property
    def has_values(self) -> bool:
        """Whether the cursor has a mark."""
        return self.cursor.late not in ("row_xids", "files")

    @property
    def replicated(self) -> Replicated:
        """The pair as its state has it."""
        return Replicated.of(self.writer, {step["id"]: step for step in self.plan.steps})

    @property
    def last(self) -> Mapping[str, JsonValue]:
        """The run that wrote the state, and when (`run`, `at`)."""
        return self.state.marks[-1] if self.state and self.state.marks else {}

    @property
    def changes(self) -> list[str]:
        """What of the plan does not fit the state."""
        before, form = (self.state.form if self.state else None) or {}, self.writer["state"]["form"]
        return [name for name in form if before and form[name] != before.get(name)]

    def held_back(self) -> str | None:
        """Return how far the mark is below the greatest value that was read, as text; None if it is not."""
        position = self.state.position if self.state else {}
        mark, greatest = (_place(position.get(name), self.kind) for name in ("mark", "greatest"))
        if mark is None or greatest is None or mark == greatest:
            return None
        behind, unit = greatest - mark, parse_type(self.kind).kind
        if unit == "timestamp":
            return duration_text(behind / 1e6)
        return count(behind, "day") if unit == "date" else f"{behind:,}"

    def to_json(self, *, whole: bool = False) -> dict[str, JsonValue]:
        """Return it as JSON; with `whole`, with everything that the state holds."""
        position = self.state.position if self.state else {}
        data: dict[str, JsonValue] = {
            "pipeline": self.plan.name,
            "step": self.writer["id"],
            "reader": self.reader["id"],
            "source": self.source,
            "target": self.target,
            "cursor": self.reader["config"]["cursor"],
            "version": self.version,
            "mark": _point(position),
            "greatest": position.get("greatest"),
            "held_back": self.held_back(),
            "last_run": self.last.get("run"),
            "last_at": self.last.get("at"),
            "rows_kept": self.kept,
            "changed": self.changes,
            "codes": [item.code for item in self.diagnostics],
        }
        return {**data, "state": self.state and _content(self.state)} if whole else data


def _content(state: State) -> dict[str, JsonValue]:
    fields = ("form", "columns", "source", "target", "position", "rows", "marks", "compared_at", "texts")
    return {name: getattr(state, name) for name in fields}


def _parsed(text: str | None, kind: str) -> Value | None:
    """Return the cursor value of a text; None if it is not one of this type."""
    try:
        return parse_value(text, kind) if text is not None and kind else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class Moved:
    """A state that was moved by hand, or would be: what the next run reads, and what that means for the target.

    `position` is None if the state stays as it is. `again` is how many rows it appends once more at most;
    None if that is not known.
    """

    pair: Pair
    reads: str
    position: Mapping[str, JsonValue] | None
    again: int | None
    diagnostics: Sequence[Diagnostic] = ()

    @property
    def effect(self) -> str:
        """What happens to rows that are read again."""
        if self.position is None:
            return "the state stays as it is"
        if not self.pair.appends:
            return "rows that are read again are upserted by their key, so none is doubled"
        if self.again == 0:
            return "no delivered row is appended again"
        amount = "all rows read again" if self.again is None else f"up to {count(self.again, 'row')}"
        return f"{amount} will be appended again"

    def to_json(self) -> dict[str, JsonValue]:
        """Return it as JSON."""
        codes = [item.code for item in self.diagnostics]
        own = {"reads": self.reads, "position": self.position and dict(self.position), "effect": self.effect}
        return {**self.pair.to_json(), **own, "appended_again": self.again, "codes": codes}


def list_states(
    workspace: Workspace, target: str | None, what: str | None = None, *, params: Mapping[str, str]
) -> tuple[list[Pair], list[Diagnostic]]:
    """Return the pairs of a pipeline or plan, or of all pipelines of the project, with their states, and problems.

    `what` is a step, a table or an entry, which narrows them. Changes nothing. Problems of a pair are also in it. Notes
    name the tables of entries that have no cursor.
    Fails with STA044 if no step has a cursor, or none is meant by `what`, unless a note answers that.
    """
    plans, problems = _plans(workspace, target, params)
    pairs = [replace(pair, file=file) for file, plan in plans for pair in _pairs(plan)]

    def is_meant(*steps: Mapping[str, JsonValue]) -> bool:
        return what is None or what in _names(*steps)

    notes = [note for file, plan in plans for note in _in_file(file, tables_without_cursor(plan, is_meant))]
    is_expected = (target is not None or what is not None) and not notes
    pairs = _narrowed(pairs, target, what) if is_expected else _meant(pairs, what)
    _inspect(workspace, pairs)
    return pairs, [*problems, *notes, *(item for pair in pairs for item in _in_file(pair.file, pair.diagnostics))]


def _in_file(file: str, diagnostics: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """Yield problems, with the file of the pipeline that has them unless they are in another one."""
    for item in diagnostics:
        yield replace(item, location=Location(file)) if file and not item.location.file else item


def move_states(
    workspace: Workspace,
    target: str,
    what: str | None,
    to: str | None,
    on_wait: Callable[[str], None],
    *,
    params: Mapping[str, str],
    dry_run: bool = False,
) -> list[Moved]:
    """Move the states of a pipeline's pairs back to a run or a value, or with `to` None to before the first row.

    Each is a delivery of its own, in the ledger as `state/ID`. All are checked before one is changed. Waits up to
    `run.wait` for runs. Fails with STA001, STA040 to STA044, RUN004, and as connecting fails.
    """
    from osiris.project_lock import hold_run
    from osiris.runner.host.uses import uses_of

    plan = _plan(workspace, target, params)
    pairs = _narrowed(list(_pairs(plan)), target, what)
    if dry_run:
        return _moved(workspace, pairs, to, dry_run=True)
    uses = uses_of(plan, workspace.root, [str(pair.writer["id"]) for pair in pairs])
    words = (plan.name, f"state change of '{plan.name}'", uses, workspace.config.get("run.wait"), on_wait)
    with hold_run(workspace.project, *words):
        return _moved(workspace, pairs, to, dry_run=False)


def _moved(workspace: Workspace, pairs: Sequence[Pair], to: str | None, *, dry_run: bool) -> list[Moved]:
    _inspect(workspace, pairs)
    _refuse(pairs)
    choices = _choices(pairs, to, _names_of_run(workspace, to))
    now = datetime.now(UTC)
    run = f"{BY_HAND}{now:%Y%m%dT%H%M%SZ}-{token_hex(3)}"
    changes = {
        name: _change(choice, run, now.isoformat(timespec="milliseconds"), dry_run=dry_run)
        for name, choice in choices.items()
        if choice.position is not None
    }
    own = {name: choice.pair for name, choice in choices.items()}
    answers = _ask(workspace, own, {name: change.to_json() for name, change in changes.items()}, run)
    _refuse(pairs)
    return [_result(choice, answers[name]["again"] if name in answers else 0) for name, choice in choices.items()]


def _refuse(pairs: Sequence[Pair]) -> None:
    """Raise the problems of pairs, except states that cannot be read, which a change replaces."""
    if problems := [item for pair in pairs for item in pair.diagnostics if item.code != "STA010"]:
        raise_all(problems)


def _choices(pairs: Sequence[Pair], to: str | None, names: Collection[str]) -> dict[str, _Choice]:
    """Return where each pair is moved to, by its writer; fails with the problems of all pairs."""
    first = min((str(mark["at"]) for pair in pairs for mark in _marks(pair, names)), default=None)
    choices: dict[str, _Choice] = {}
    problems: list[Diagnostic] = []
    for pair in pairs:
        try:
            choices[str(pair.writer["id"])] = _chosen(pair, to, names, first)
        except OsirisError as error:
            problems += error.diagnostics
    if problems:
        raise_all(problems)
    return choices


def _result(choice: _Choice, again: int | None) -> Moved:
    pair, warnings = choice.pair, list[Diagnostic]()
    moved = Moved(pair, choice.reads, choice.position, again)
    before = _mark(pair.state.position) if pair.state else None
    if _is_below(before, choice.mark, pair.kind):
        warnings.append(diagnostic("STA043", source=pair.source, mark=before, to=choice.mark))
    if pair.appends and again != 0:
        warnings.append(diagnostic("STA042", target=pair.target, effect=moved.effect))
    return replace(moved, diagnostics=warnings)


def _is_below(before: str | None, after: str | None, kind: str) -> bool:
    low, high = _place(before, kind), _place(after, kind)
    return low is not None and high is not None and low < high


def _place(text: JsonValue, kind: str) -> int | None:
    """Return the place of a text in the order of cursor values; None if it is not one of this type."""
    value = None if text is None else _parsed(str(text), kind)
    return None if value is None else place_of(value)


def _plans(
    workspace: Workspace, target: str | None, params: Mapping[str, str]
) -> tuple[list[tuple[str, Manifest]], list[Diagnostic]]:
    """Return the plan of a target, or those of all pipelines with a cursor by file, with the problems of others."""
    if target is not None:
        return [("", _plan(workspace, target, params))], []
    plans, problems = [], list[Diagnostic]()
    for path in pipelines(workspace, strict=False):
        if _MAY_HAVE_CURSOR.search(path.read_text(encoding="utf-8", errors="replace")):
            file = shown(workspace, path)
            try:
                plans.append((file, _plan(workspace, file, params)))
            except OsirisError as error:
                problems.append(_not_listed(file, error))
    return plans, problems


def _not_listed(file: str, error: OsirisError) -> Diagnostic:
    """Return the warning that stands for all problems of a pipeline."""
    first, *others = [item for item in error.diagnostics if item.severity == "error"]
    more = f", and {count(len(others), 'more problem')}" if others else ""
    problem = f"{first.code} {first.message}{more}"
    at = first.location if first.location.file == file else Location(file)
    return diagnostic("STA046", at=at, problem=problem, file=file)


def _plan(workspace: Workspace, target: str, params: Mapping[str, str]) -> Manifest:
    from osiris.api.pipelines import compile_file
    from osiris.api.runs import plan_of
    from osiris.runner.host.options import RunOptions

    file = find_plan(workspace, target)
    if file is None:
        return compile_file(workspace, target, params=params).manifest
    return plan_of(workspace, file, RunOptions(), params=params).manifest


def _pairs(plan: Manifest) -> Iterator[Pair]:
    steps = {step["id"]: step for step in plan.steps}
    return (Pair(plan, step, steps[step["state"]["reader"]]) for step in plan.steps if "state" in step)


def _narrowed(pairs: Sequence[Pair], target: str | None, what: str | None) -> list[Pair]:
    """Return the pairs that are meant; fails with STA044 if there is none."""
    if not pairs:
        fail("STA044", problem=f"{target} has no step with a cursor" if target else "no pipeline has a cursor")
    meant = _meant(pairs, what)
    if not meant:
        near = nearest(str(what), sorted({name for pair in pairs for name in pair.names}))
        hint = f"did you mean {near}?" if near else None
        fail("STA044", problem=f"no step with a cursor, and none of their tables, is named '{what}'", hint=hint)
    return meant


def _meant(pairs: Sequence[Pair], what: str | None) -> list[Pair]:
    return [pair for pair in pairs if what is None or what in pair.names]


def _names(*steps: Mapping[str, JsonValue]) -> set[str]:
    """Return the names by which steps can be meant: their own, and those of their entry and tables."""
    tables = {str(step["config"].get("table")) for step in steps}
    qualified = {f"{step['config'].get('schema')}.{step['config'].get('table')}" for step in steps}
    entries = {str(step["entry"]) for step in steps if "entry" in step}
    ids = {str(step["id"]) for step in steps}
    return {*ids, *entries, *tables, *qualified} - {"None", "None.None"}


def _inspect(workspace: Workspace, pairs: Sequence[Pair]) -> None:
    """Ask the targets for the states; problems of a pair are in it."""
    for own in _by_plan(pairs):
        answers = _ask(workspace, own, {name: {} for name in own})
        for name, answer in answers.items():
            pair, text = own[name], answer["state"]
            pair.version, pair.kept = answer["version"], answer["kept"]
            pair.state = State.from_text(pair.version, text) if text else None
            if pair.version and pair.state is None:
                pair.diagnostics.append(
                    diagnostic(
                        "STA010", step=pair.writer["id"], table=pair.target, path=pair.writer["connection"] or MANIFEST
                    )
                )


def _by_plan(pairs: Sequence[Pair]) -> list[dict[str, Pair]]:
    """Return the pairs of each plan by their writers."""
    plans = {id(pair.plan): pair.plan for pair in pairs}.values()
    return [{str(pair.writer["id"]): pair for pair in pairs if pair.plan is plan} for plan in plans]


def _ask(
    workspace: Workspace, pairs: Mapping[str, Pair], states: Mapping[str, Mapping[str, JsonValue]], run: str = "state/0"
) -> dict[str, dict[str, JsonValue]]:
    """Return the answers of the writers in `states` (as in `Job`); problems are added to their pairs."""
    from osiris.runner.adapter import WorkerDied
    from osiris.runner.host.adapters import query_worker
    from osiris.runner.host.passing_job import passing_job

    secrets, answers = _secrets(workspace, pairs), dict[str, dict[str, "JsonValue"]]()
    usable = {None, *secrets.plain}
    reachable = {name: fields for name, fields in states.items() if pairs[name].writer["connection"] in usable}
    if not reachable:
        return {}
    waiting = set(reachable)

    def take(event: dict[str, JsonValue]) -> None:
        if event["event"] == "state":
            name = event["step"]
            waiting.remove(name)
            pairs[name].diagnostics += map(Diagnostic.from_json, event["diagnostics"])
            answers.update({name: event["answer"]} if event["answer"] else {})

    plan = next(iter(pairs.values())).plan
    kind, _, name = run.partition("/")
    own = {"pipeline": kind, "delivered_as": name, "plan": plan.fingerprint, "states": reachable}
    try:
        with (
            passing_job(workspace.project, workspace.config, "state", steps=plan.steps, bindings=_RUN, **own) as job,
            query_worker(workspace.project, workspace.config) as link,
        ):
            end = link.ask(job, secrets, take)
        missed = [Diagnostic.from_json(item) for item in end["diagnostics"]]
    except WorkerDied as died:
        missed = [diagnostic("RUN001", status=died.status, during="state", hint="run the same command again")]
    for name in waiting:
        pairs[name].diagnostics += missed
    return answers


def _secrets(workspace: Workspace, pairs: Mapping[str, Pair]) -> Secrets:
    """Return the fields of the targets' connections; the problems of those that are incomplete are added to pairs."""
    from osiris.runner.protocol import Secrets

    resolved = Secrets()
    for pair in pairs.values():
        reference = pair.writer["connection"]
        if reference is None:
            continue
        try:
            own = workspace.resolve({reference: pair.plan.data["connections"][reference]})
        except OsirisError as error:
            pair.diagnostics += error.diagnostics
        else:
            resolved.plain.update(own.plain)
            resolved.secret.update(own.secret)
            resolved.stored.extend(own.stored)
    return resolved


@dataclass(frozen=True, slots=True)
class _Choice:
    """The position that a pair is moved to, and what the next run reads, in words; None if it stays as it is."""

    pair: Pair
    reads: str
    position: Mapping[str, JsonValue] | None

    @property
    def mark(self) -> str | None:
        """The mark of the position."""
        return _mark(self.position or {})


def _mark(position: Mapping[str, JsonValue]) -> str | None:
    mark = position.get("mark")
    return None if mark is None else str(mark)


def _change(choice: _Choice, run: str, at: str, *, dry_run: bool) -> StateChange:
    pair, cursor = choice.pair, choice.pair.cursor
    before = pair.state or replace(NO_STATE, version=pair.version)
    state = before.rewound(pair.replicated, choice.position or {}, run, at)
    is_direct = pair.reader["id"] in pair.writer["inputs"].values() and cursor.column not in _casts(pair)
    column = cursor.column if is_direct and pair.appends and pair.has_values else ""
    return StateChange(state, dry_run, not choice.position, column, pair.kind, choice.mark)


def _casts(pair: Pair) -> Collection[str]:
    casts: dict[str, JsonValue] = pair.reader["config"].get("cast", {})
    return casts


def _names_of_run(workspace: Workspace, to: str | None) -> set[str]:
    """Return the names that a run can have in a ledger: what was typed, and the session and run id of that run.

    The beginning of a session's id is no name here, as values can look like it.
    """
    from osiris.session.finding import RECENT, find_session

    if to is None:
        return set()
    run = find_session(workspace.project, to) or {}
    names = {str(run[key]) for key in ("session", "run_key") if run.get(key)}
    return {to, *(names if to in names or to in RECENT else ())}


def _marks(pair: Pair, names: Collection[str]) -> list[Mapping[str, JsonValue]]:
    marks = pair.state.marks if pair.state else ()
    return [mark for mark in marks if {str(mark["run"]), _id(mark)} & {*names}]


def _chosen(pair: Pair, to: str | None, names: Collection[str], first: str | None) -> _Choice:
    """Return where a pair is moved to. `first` is when a run of these names first wrote the state of any pair."""
    if to is None:
        return _Choice(pair, "everything", {})
    value = _parsed(to.removeprefix("value:"), pair.kind) if pair.has_values else None
    is_run = first is not None and not to.startswith("value:")
    if is_run and value is not None and to in names:
        fail("STA041", text=to, column=pair.cursor.column, run=f"{pair.plan.name}/{to}")
    if is_run:
        return _before(pair, names, str(first))
    if value is None:
        return _fail_value(pair, to)
    text = value_text(value)
    return _Choice(pair, f"rows with {pair.cursor.column} >= {text}", {"mark": text, "greatest": None})


def _fail_value(pair: Pair, to: str) -> NoReturn:
    """Fail with STA040, and with examples of what can be given."""
    example = _example(pair.kind) if pair.has_values else None
    what = f"a value of its cursor {pair.cursor.column} ({pair.kind})" if example else "a value, as its cursor has none"
    marks = pair.state.marks[-_RUNS_NAMED:] if pair.state else ()
    ways = [f"'--to {each}'" for each in dict.fromkeys((example, *map(_id, reversed(marks)))) if each]
    hint = f"write for example {' or '.join(ways)}" if ways else "use 'osiris state reset' to read everything again"
    fail("STA040", text=to, source=pair.source, what=what, hint=hint)


def _example(kind: str) -> str:
    parsed = parse_type(kind)
    has_zone = parsed.kind == "timestamp" and len(parsed.parameters) > 1
    return _EXAMPLES.get(parsed.kind, "10000") + ("+00:00" if has_zone else "")


def _id(mark: Mapping[str, JsonValue]) -> str:
    """Return the session or run id of the run of a mark."""
    return str(mark["run"]).partition("/")[2]


def _before(pair: Pair, names: Collection[str], first: str) -> _Choice:
    """Return the position that a pair had before a run; a run that read nothing of it has left it as it was."""
    marks = pair.state.marks if pair.state else ()
    since = _marks(pair, names) or [mark for mark in marks if str(mark["at"]) >= first]
    if not since:
        return _Choice(pair, "what is new, as that run read nothing of it", None)
    index, run = marks.index(since[0]), str(since[0]["run"])
    if problem := _unknown(pair, index):
        fail("STA045", run=run, source=pair.source, problem=problem, hint=_known_positions(pair))
    position = _position(pair, marks[index - 1]) if index else {}
    reads = f"from {_point(position)}" if position else "everything"
    return _Choice(pair, f"{reads}, as before {run}", position)


def _known_positions(pair: Pair) -> str:
    """Return what can be given instead of a run whose position is not known."""
    marks = pair.state.marks if pair.state else ()
    runs = [*dict.fromkeys(_id(mark) for index, mark in enumerate(marks) if _unknown(pair, index) is None)]
    ways = [f"'--to {_example(pair.kind)}', or any other value of {pair.cursor.column}"] if pair.has_values else []
    ways += (
        [f"one of {count(len(runs), 'run')} from '--to {runs[0]}' on ('osiris state show' lists them)"] if runs else []
    )
    return "; ".join([*(f"possible: {way}" for way in ways), "'osiris state reset' reads everything again"])


def _unknown(pair: Pair, index: int) -> str | None:
    """Return why the position before the mark at an index is not known; None if it is."""
    reasons = {
        "the cursor was changed since": "cursor" in pair.changes,
        "which files it read is not kept": pair.cursor.late == "files",
        "it is the oldest run that the state lists": index == 0
        and len(pair.state.marks if pair.state else ()) < pair.version,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _position(pair: Pair, mark: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the position of a mark, to start from; empty if it is before the first row."""
    if not pair.has_values:
        return {key: value for key, value in mark.items() if key not in ("run", "at")}
    text = _mark(mark)
    return {} if text is None else {"mark": text, "greatest": None}


def _point(position: Mapping[str, JsonValue]) -> JsonValue:
    """Return what of a position is shown."""
    return position.get("mark", position.get("xmin"))
