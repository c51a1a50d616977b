"""What is different from the last success of the same pipeline, whatever plan that had."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.compare import ABSENT, Difference, diff, is_derived, same_data
from osiris.history.differences import digest_of, environment_changes
from osiris.history.failure_classes import class_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.history.record import RecordedRun
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
"""Kinds of changes, in the order in which they are told."""

DRIFT = "DAT011"
_GONE = ("DRV001", "DRV012")
"""Codes of a file and of a table that is not there."""
_TARGET = frozenset(("path", "table", "schema", "database", "write_mode", "primary_key", "bucket", "key"))
_ROOTS = {"params": "parameter", "sensitive": "parameter", "engines": "engine", "osiris": "engine"}
_AROUND = {"engines": "engine", "osiris": "engine", "python": "engine", "selected": "selection"}
_EDITED = re.compile(r"steps/[^/]+/(?:config|component|connection)\b")
_DERIVED = re.compile(r"steps/[^/]+/(?:schema|columns|order|config/as_text|config/columns)\b")
"""What the compiler itself makes of the rest of a plan."""
_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed; `old` and `new` are ABSENT for nothing. `in_plan` is one between two plans."""

    area: str
    path: str
    text: str
    step: str | None = None
    old: JsonValue = ABSENT
    new: JsonValue = ABSENT
    in_plan: bool = False

    def to_json(self, number: int) -> dict[str, JsonValue]:
        """Return it as it stands in delta.changes."""
        values = {"old": _short(self.old), "new": _short(self.new)}
        known = {key: value for key, value in values.items() if value is not ABSENT}
        words = {"area": self.area, "path": self.path, "step": self.step, "text": self.text[:_SHOWN]}
        return {"id": f"chg.{number}", **words, **known}


def changes_of(run: RecordedRun, base: RecordedRun | None) -> list[Change]:
    """Return what is different, sorted by area; what the run itself found of its sources needs no base."""
    found = list(_drift(run))
    if base is not None:
        found += [*_of_plans(run, base), *_of_environments(run, base), *_of_contents(run, base)]
    return sorted(found, key=lambda change: (AREAS.index(change.area), _follows(change)))


def _follows(change: Change) -> bool:
    """Tell whether a change in the plan may be one that the compiler drew from another."""
    return change.area == "pipeline" and bool(_DERIVED.search(change.path))


def _drift(run: RecordedRun) -> Iterator[Change]:
    """Give what a source no longer has as planned, as the run was told before its first row."""
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
    items = [item for item in diff(base.plan, run.plan) if not is_derived(item)]
    edited = {item.path.split("/")[1] for item in items if _EDITED.match(item.path)}
    modes = {step["id"]: step["mode"] for plan in (base.plan, run.plan) for step in plan.steps}
    for item in items:
        if item.path.startswith("engines/") and ABSENT in (item.old, item.new):
            continue  # a step that is new or gone brought it along
        yield _of_difference(item, modes, edited)


def _of_difference(item: Difference, modes: Mapping[str, str], edited: set[str]) -> Change:
    """Return a difference as a change; `edited` steps have other columns because they do something else."""
    root, _, rest = item.path.partition("/")
    step, _, leaf = rest.partition("/")
    if root != "steps":
        area = "connection" if root == "connections" else _ROOTS.get(root, "pipeline")
        return Change(area, item.path, str(item), None, item.old, item.new, in_plan=True)
    area = _area(leaf, modes.get(step, ""), edited=step in edited)
    return Change(area, item.path, str(item), step, item.old, item.new, in_plan=True)


def _area(leaf: str, mode: str, *, edited: bool) -> str:
    """Return the kind of a change in a step, `leaf` being what follows its name in the path."""
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
    """Give what differs around the runs; of connections and sources only the beginning of their digests is told."""
    planned = {f"engines/{name}" for name in _engines(run) | _engines(base)} if run.plan != base.plan else set()
    for item in environment_changes(base, run):
        root, _, rest = item.path.partition("/")
        if root == "sources":
            if not _same_rows(run, base, rest):
                yield Change("source_data", item.path, str(item), rest, item.old[:12], item.new[:12])
        elif root == "connections":
            yield Change("environment", item.path, str(item), None, item.old[:12], item.new[:12])
        elif rest not in planned and ABSENT not in (item.old, item.new):
            area = _AROUND.get(rest.partition("/")[0], "environment")
            yield Change(area, item.path, str(item), None, item.old, item.new)


def _same_rows(run: RecordedRun, base: RecordedRun, source: str) -> bool:
    """Tell whether a source gave the rows that it gave: all that read it wrote them as they are, and the same."""
    digests = []
    for each in (base, run):
        readers = [step for step in each.steps if source in step.inputs]
        if any(step.mode != "write" or len(step.inputs) > 1 for step in readers):
            return False
        digests.append({step.id: digest_of(step) for step in readers})
    before, now = digests
    return bool(now) and before.keys() == now.keys() and all(_alike(before[name], now[name]) for name in now)


def _alike(before: Mapping[str, JsonValue] | None, now: Mapping[str, JsonValue] | None) -> bool:
    return bool(before and now) and same_data(before, now) is True


def _engines(run: RecordedRun) -> set[str]:
    return set(run.plan.data["engines"]) if run.plan else set()


def _of_contents(run: RecordedRun, base: RecordedRun) -> Iterator[Change]:
    """Give the sources that cannot be what they were: the last success read them by the same step, and did not fail."""
    before = {step.id: step for step in base.steps}
    told = run.summary.get("sources") or {}
    for step in run.steps:
        same = step.id in before and step.plan and step.plan.get("hash") == before[step.id].plan.get("hash")
        code = step.error.code if step.mode == "read" and step.error else ""
        if same and code in _GONE:
            text = f"the source of step '{step.id}' is gone: the last success read it, and this run met {code}"
            yield Change("source_schema", f"sources/{step.id}", text, step.id)
        elif same and step.id not in told and class_of(code) == "data" and code:
            text = f"the source of step '{step.id}' changed: the last success read it without {code}"
            yield Change("source_data", f"sources/{step.id}", text, step.id)


def _short(value: JsonValue) -> JsonValue:
    """Return a value as it is told: long texts and large values by their beginning."""
    if value is ABSENT or len(json.dumps(value, ensure_ascii=False)) <= _SHOWN:
        return value
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:_SHOWN] + "…"
