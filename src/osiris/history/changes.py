"""Differences between two runs: since the last success, between any two, and between a replay and its run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from osiris.compare.differences import (
    ABSENT,
    INCOMPARABLE,
    Difference,
    diff,
    digest_changes,
    is_derived,
    output_changes,
    same_data,
    written_changes,
)
from osiris.history.failures import class_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from osiris.compare.differences import RowFinder
    from osiris.errors import Diagnostic
    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue

AREAS = (
    "source_schema",
    "connection",
    "environment",
    "target",
    "pipeline",
    "parameter",
    "component",
    "engine",
    "selection",
    "source_data",
)
"""Kinds of changes, in the order of output."""

DRIFT = "DAT011"
_MISSING = ("DRV001", "DRV012")
"""Codes of a missing file and a missing table."""
_TARGET = frozenset(("path", "table", "schema", "database", "write_mode", "primary_key", "bucket", "key"))
_ROOTS = {"params": "parameter", "sensitive": "parameter", "engines": "engine", "osiris": "engine"}
_AROUND = {"engines": "engine", "osiris": "engine", "python": "engine", "selected": "selection"}
_EDITED = re.compile(r"steps/[^/]+/(?:config|component|connection)\b")
_DERIVED = re.compile(r"steps/[^/]+/(?:schema|columns|order|config/as_text|config/columns)\b")
"""Parts of a plan that the compiler derives from the rest."""
_SHOWN = 400

SECTION_TITLES = {
    "outcome": "status",
    "plan": "the plan",
    "environment": "environment",
    "schemas": "schemas",
    "rows": "rows",
    "digests": "data",
}
"""Titles by section of a comparison, causes before consequences; times are not listed, as they always differ."""

SECTIONS = tuple(SECTION_TITLES)

_COUNTS = ("rows_in", "rows_out", "rows_rejected")

_NOTHING = "nothing on record changed"
_CHANCE = "a step may depend on random values, on the time, or on the order of rows"


@dataclass(frozen=True, slots=True)
class Change:
    """One change; `old` and `new` are ABSENT where there is no value. `in_plan`: a difference between two plans."""

    area: str
    path: str
    text: str
    step: str | None = None
    old: JsonValue = ABSENT
    new: JsonValue = ABSENT
    in_plan: bool = False

    def to_json(self, number: int) -> dict[str, JsonValue]:
        """Return the entry of delta.changes."""
        values = {"old": _abbreviated(self.old), "new": _abbreviated(self.new)}
        present = {key: value for key, value in values.items() if value is not ABSENT}
        words = {"area": self.area, "path": self.path, "step": self.step, "text": self.text[:_SHOWN]}
        return {"id": f"chg.{number}", **words, **present}


def changes_of(run: RecordedRun, base: RecordedRun | None) -> list[Change]:
    """Return the changes, sorted by area; without a base, only the schema drift that the run itself detected."""

    def place(change: Change) -> tuple[int, bool]:
        # Derived parts of a plan come last in the area "pipeline", as they may follow from another change.
        return AREAS.index(change.area), change.area == "pipeline" and bool(_DERIVED.search(change.path))

    changes = list(_drift(run))
    if base is not None:
        changes += [*_of_plans(run, base), *_of_environments(run, base), *_of_contents(run, base)]
    return sorted(changes, key=place)


def _drift(run: RecordedRun) -> Iterator[Change]:
    """Yield the schema drift of sources, as detected before the first row."""
    for event in run.events:
        if event["event"] != "step_failed" or event.get("code") != DRIFT:
            continue
        step = str(event["step"])
        for item in run.diagnostics:
            before = f"step '{step}': "
            if item.code == DRIFT and item.message.startswith(before):
                problem = item.message.removeprefix(before)
                column = subject_of(item).get("column")
                leaf = f"/{column}" if column else ""
                yield Change("source_schema", f"steps/{step}/schema{leaf}", problem, step)


def _of_plans(run: RecordedRun, base: RecordedRun) -> Iterator[Change]:
    if run.plan is None or base.plan is None or run.plan.fingerprint == base.plan.fingerprint:
        return
    items = [item for item in diff(base.plan, run.plan) if not (is_derived(item) or _follows_step(item))]
    modes = {step["id"]: step["mode"] for step in (*base.plan.steps, *run.plan.steps)}
    edited = _edited(items)
    yield from (_of_difference(item, modes, edited) for item in items)


def _edited(items: Iterable[Difference]) -> set[str]:
    """Return the steps whose component, connection or config changed."""
    return {item.path.split("/")[1] for item in items if _EDITED.match(item.path)}


def _follows_step(item: Difference) -> bool:
    """Return whether a difference is an engine added or removed with a step."""
    return item.path.startswith("engines/") and item.is_one_sided


def _of_difference(item: Difference, modes: Mapping[str, str], edited: set[str]) -> Change:
    """Return a difference as a change; columns of `edited` steps changed because of the edit."""
    root, _, rest = item.path.partition("/")
    step, _, leaf = rest.partition("/")
    if root != "steps":
        area = "connection" if root == "connections" else _ROOTS.get(root, "pipeline")
        return Change(area, item.path, str(item), None, item.old, item.new, in_plan=True)
    area = _area(leaf, modes.get(step, ""), edited=step in edited)
    return Change(area, item.path, str(item), step, item.old, item.new, in_plan=True)


def _area(leaf: str, mode: str, *, edited: bool) -> str:
    """Return the kind of a change in a step; `leaf` is the path after the step's name."""
    first, _, rest = leaf.partition("/")
    if first in ("component", "version", "spec"):
        return "component"
    if first == "connection":
        return "connection"
    if first in ("schema", "columns") and mode == "read" and not edited:
        return "source_schema"
    if first == "config" and mode == "write" and rest.partition("/")[0] in _TARGET:
        return "target"
    return "pipeline"


def _of_environments(run: RecordedRun, base: RecordedRun) -> Iterator[Change]:
    """Yield the changes around the runs; digests of connections and sources are abbreviated."""
    planned = {f"engines/{name}" for name in _engines(run) | _engines(base)} if run.plan != base.plan else set()
    for item in environment_changes(base, run):
        root, _, rest = item.path.partition("/")
        if root == "sources":
            if not _same_rows(run, base, rest):
                yield Change("source_data", item.path, str(item), rest, item.old[:12], item.new[:12])
        elif root == "connections":
            yield Change("environment", item.path, str(item), None, item.old[:12], item.new[:12])
        elif rest not in planned and not item.is_one_sided:
            area = _AROUND.get(rest.partition("/")[0], "environment")
            yield Change(area, item.path, str(item), None, item.old, item.new)


def _same_rows(run: RecordedRun, base: RecordedRun, source: str) -> bool:
    """Return whether a source gave the same rows: only writers read it, and their digests are equal."""
    before, now = _written_from(base, source), _written_from(run, source)
    if not before or not now or before.keys() != now.keys():
        return False
    return all(same_data(before[name], now[name]) is True for name in now)


def _written_from(run: RecordedRun, source: str) -> dict[str, Mapping[str, JsonValue] | None] | None:
    """Return the digests of a source's rows as written, by step; None if a step does more than write them."""
    readers = [step for step in run.steps if source in step.inputs]
    if any(step.mode != "write" or len(step.inputs) > 1 for step in readers):
        return None
    return {step.id: digest_of(step) for step in readers}


def _engines(run: RecordedRun) -> set[str]:
    return set(run.plan.data["engines"]) if run.plan else set()


def _of_contents(run: RecordedRun, base: RecordedRun) -> Iterator[Change]:
    """Yield the sources that must have changed: an unchanged step fails that succeeded in the last success."""
    with_state = run.summary.get("sources") or {}
    for step, before in step_pairs(run.steps, base):
        is_same = bool(step.plan) and step.plan.get("hash") == before.plan.get("hash")
        if not is_same or step.mode != "read" or not step.error:
            continue
        code, source = step.error.code, f"the source of step '{step.id}'"
        if code in _MISSING:
            text = f"{source} is missing: the last success read it, but this run failed with {code}"
            yield Change("source_schema", f"sources/{step.id}", text, step.id)
        elif step.id not in with_state and class_of(code) == "data":
            text = f"{source} changed: the last success read it without {code}"
            yield Change("source_data", f"sources/{step.id}", text, step.id)


def _abbreviated(value: JsonValue) -> JsonValue:
    """Return a value, with long texts and large values cut."""
    if value is ABSENT or len(json.dumps(value, ensure_ascii=False)) <= _SHOWN:
        return value
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:_SHOWN] + "…"


@dataclass(frozen=True, slots=True)
class Timing:
    """A duration in two runs, in ms; None where it did not end or is not part of the run.

    `what` is a step, or empty for the whole run.
    """

    what: str
    old: float | None
    new: float | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return step (None for the run) and both times."""
        return {"step": self.what or None, "old_ms": self.old, "new_ms": self.new}


@dataclass(frozen=True, slots=True)
class RunDiff:
    """The comparison of two runs: differences by section (all of `SECTIONS`), and times."""

    sections: Mapping[str, tuple[Difference, ...]]
    times: tuple[Timing, ...]

    @property
    def differences(self) -> list[Difference]:
        """All differences, causes first."""
        return [item for section in SECTIONS for item in self.sections[section]]


def diff_runs(a: RecordedRun, b: RecordedRun) -> RunDiff:
    """Compare two recorded runs; a missing plan counts as one without steps."""
    plan = diff(a.plan, b.plan) if a.plan and b.plan else []
    sections = {
        "outcome": tuple(_outcome(a, b)),
        "plan": tuple(item for item in plan if not item.leaf.endswith("/schema")),
        "environment": tuple(environment_changes(a, b)),
        "schemas": tuple(_schemas(a, b)),
        "rows": tuple(_row_changes(a, b)),
        "digests": tuple(run_digest_changes(a, b)),
    }
    return RunDiff(sections, tuple(_times(a, b)))


def environment_changes(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    """Yield differences around two runs: versions and machine, limits, connections, sources, selected steps.

    Connections are compared by the digest of their non-secret fields, sources by their state. What only one run has
    recorded is left out, except engines, which one run may not have used.
    """
    old, new = a.summary, b.summary
    # A run without recorded versions has those of its plan.
    versions = (each.get("environment") or {"engines": each["engines"]} for each in (old, new))
    items = _leaves("environment", *versions)
    yield from (item for item in items if not item.is_one_sided or "/engines/" in item.path)
    for key in ("adapter", "selected"):
        yield from _leaves(f"environment/{key}", old.get(key), new.get(key))
    yield from _leaves("limits", *(each.get("limits") or {} for each in (old, new)))
    yield from _state_changes(a, b, "connections", "non-secret fields of {} changed")
    yield from _state_changes(a, b, "sources", "the source of step '{}' changed")


def _state_changes(a: RecordedRun, b: RecordedRun, kind: str, text: str) -> Iterator[Difference]:
    before, after = (run.summary.get(kind) or {} for run in (a, b))
    for name in (name for name in before if name in after and before[name] != after[name]):
        yield Difference(kind, f"{kind}/{name}", before[name], after[name], text.format(name))


def step_pairs(steps: Iterable[RecordedStep], other: RecordedRun) -> list[tuple[RecordedStep, RecordedStep]]:
    """Return the steps that another run has too, each with the other run's step of that id."""
    by_id = {step.id: step for step in other.steps}
    return [(step, by_id[step.id]) for step in steps if step.id in by_id]


def run_digest_changes(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    """Yield differences in the data of two runs, by step in plan order and by column.

    Compares only steps with a digest in both runs.
    """
    for old, new in step_pairs(planned_steps(a), b):
        before, after = digest_of(old), digest_of(new)
        if not before or not after:
            continue
        if old.output and new.output:
            items = written_changes(old.id, old.output, new.output)
        else:
            items = digest_changes(old.id, before, after)
        yield from (item for item in items if item.code == INCOMPARABLE or not item.path.endswith("/rows"))


def digest_of(step: RecordedStep) -> Mapping[str, Any] | None:
    """Return the digest of a step's output or delivery; None if there is none."""
    digest = (step.output or step.summary).get("digest")
    return digest if isinstance(digest, dict) else None


def planned_steps(run: RecordedRun) -> list[RecordedStep]:
    """Return the steps of a run in plan order."""
    if run.plan is None:
        return list(run.steps)
    place = {step["id"]: number for number, step in enumerate(run.plan.steps)}
    return sorted(run.steps, key=lambda step: place.get(step.id, len(place)))


def _outcome(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    if a.status != b.status:
        yield Difference("outcome", "status", a.status, b.status)
    for old, new in step_pairs(a.steps, b):
        before, after = (step.error.code if step.error else step.status for step in (old, new))
        if before != after:
            yield Difference("outcome", f"steps/{old.id}/status", before, after)


def _schemas(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    for old, new in step_pairs(a.steps, b):
        yield from _column_changes(f"steps/{old.id}/schema", *(step.plan.get("schema") or [] for step in (old, new)))


def _column_changes(path: str, old: list[Mapping[str, Any]], new: list[Mapping[str, Any]]) -> Iterator[Difference]:
    left, right = ({column["name"]: _type_text(column) for column in columns} for columns in (old, new))
    for name in dict.fromkeys((*left, *right)):
        before, after = left.get(name, ABSENT), right.get(name, ABSENT)
        if before != after:
            yield Difference(path, f"{path}/{name}", before, after)
    if [name for name in left if name in right] != [name for name in right if name in left]:
        yield Difference(path, path, list(left), list(right), f"{path}: the columns are in another order")


def _type_text(column: Mapping[str, Any]) -> JsonValue:
    return f"{column['type']}{'' if column['nullable'] else ' not null'}"


def _row_changes(a: RecordedRun, b: RecordedRun) -> Iterator[Difference]:
    for old, new in step_pairs(a.steps, b):
        for count in _COUNTS:
            before, after = (step.summary.get(count) for step in (old, new))
            if None not in (before, after) and before != after:
                yield Difference("rows", f"steps/{old.id}/{count}", before, after)


def _times(a: RecordedRun, b: RecordedRun) -> Iterator[Timing]:
    yield Timing("", a.summary["duration_ms"], b.summary["duration_ms"])
    left, right = ({step.id: step.summary.get("duration_ms") for step in run.steps} for run in (a, b))
    yield from (Timing(name, left.get(name), right.get(name)) for name in dict.fromkeys((*left, *right)))


def _leaves(root: str, old: JsonValue, new: JsonValue) -> Iterator[Difference]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield Difference(root.partition("/")[0], root, old, new)
        return
    for key in dict.fromkeys((*old, *new)):
        yield from _leaves(f"{root}/{key}", old.get(key, ABSENT), new.get(key, ABSENT))


Kind = Literal["source", "target", "engine", "code", "environment", "unknown"]


class Reason(NamedTuple):
    """Something that changed since a run: a source, a target, an engine, our code, or the environment."""

    kind: Kind
    text: str


def replay_changes(
    root: Path, run: RecordedRun, replay: RecordedRun, rows: RowFinder | None = None
) -> list[Difference]:
    """Return the differences between a run and its replay, in plan order.

    Of a cancelled or lost run only its deliveries are compared. A failure stops other steps at random points, so of a
    failed run only what both wrote is compared. `rows` is as for `verify`.
    """
    pairs = step_pairs(planned_steps(run), replay)
    return [
        item for old, new in pairs for item in (*_failure(run, old, new), *_data_of_replay(root, run, old, new, rows))
    ]


def reasons(run: RecordedRun, replay: RecordedRun, changed: Iterable[Diagnostic]) -> list[Reason]:
    """Return the possible reasons for differences since a run; `changed` are the changed components (RUN023).

    A read step that fails only in the replay points to its source; a write step that failed in the run, to its target,
    which a replay does not write by default. Otherwise the only reason is of the kind `unknown`.
    """
    causes = [_reason(item) for item in environment_changes(run, replay)]
    causes += [Reason("code", item.message) for item in changed]
    causes += [
        Reason("source", f"the source of step '{step.id}' changed: {step.error.message}")
        for step, before in step_pairs(replay.steps, run)
        if step.mode == "read" and step.error and not before.error
    ]
    causes += [] if (replay.summary.get("replays") or {}).get("to_targets") else _untouched_targets(run)
    return causes or [Reason("unknown", _unknown(run, replay))]


def _untouched_targets(run: RecordedRun) -> list[Reason]:
    return [
        Reason("target", f"the target of step '{step.id}', which failed in the run, is not written by the replay")
        for step in run.steps
        if step.mode == "write" and step.error
    ]


def _failure(run: RecordedRun, old: RecordedStep, new: RecordedStep) -> Iterator[Difference]:
    before, after = (step.error.code if step.error else None for step in (old, new))
    if before == after or (before is None and run.status not in ("complete", "failed")):
        return
    left, right = (f"fails with {code}" if code else "does not fail" for code in (before, after))
    path = f"{old.id}/status"
    yield Difference(old.id, path, before, after, f"step '{old.id}' {left} in the run, but {right} in the replay")


def _data_of_replay(
    root: Path, run: RecordedRun, old: RecordedStep, new: RecordedStep, rows: RowFinder | None
) -> list[Difference]:
    if old.output and new.output:
        return output_changes(root, old.id, old.output, new.output, rows)
    if old.output and not new.error and run.status != "failed":
        text = f"step '{old.id}' wrote in the run, but not in the replay"
        return [Difference(old.id, old.id, "written", ABSENT, text)]
    before, after = digest_of(old), digest_of(new)
    return digest_changes(old.id, before, after) if before and after else []


def _reason(item: Difference) -> Reason:
    first, _, rest = item.path.partition("/")
    if first == "sources":
        return Reason("source", str(item))
    if rest == "osiris":
        return Reason("code", f"Osiris was {item.old} and is now {item.new}")
    if rest.startswith("engines/"):
        name = rest.removeprefix("engines/")
        return Reason("engine", f"{name} was {item.old} and is now {item.new}")
    return Reason("environment", str(item))


def _unknown(run: RecordedRun, replay: RecordedRun) -> str:
    """Return the possible reasons when no known change exists."""
    comparable = (run.summary.get("sources") or {}).keys() & (replay.summary.get("sources") or {}).keys()
    blind = [f"'{step.id}'" for step in run.steps if step.mode == "read" and step.id not in comparable]
    causes = [f"whether the source of step {', '.join(blind)} changed is unknown"] if blind else []
    secret = run.plan.data["sensitive"] if run.plan else []
    causes += [f"the value of parameter {', '.join(secret)} is not stored"] if secret else []
    return "; ".join([_NOTHING, *(causes or [_CHANCE])])
