"""What the outputs of a plan are, read back before anybody says yes to it: from the SQL, and measured within a time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.compare.read_back import OutputText
    from osiris.model import JsonValue, Manifest
    from osiris.runner.adapter import Worker
    from osiris.runner.host.preview import Measured as Figures
    from osiris.runner.host.preview import Table
    from osiris.sql.explanation.probes import Probe

    Keys = Mapping[str, Sequence[Sequence[str]]]

BUDGET = 10.0
"""So many seconds are spent on measuring."""
SAMPLE = 10_000
"""So many rows of each source are read where all of them take too long."""
_SHOWN = 5
_FIRST_TRY = 0.6
"""The part of the time in which all rows are tried."""


@dataclass(frozen=True, slots=True)
class Multiplied:
    """A join by which several rows match one: how many rows more that gives; None where it was not measured."""

    left: str
    right: str
    more: int | None

    def words(self) -> str:
        """Return what it would do."""
        if self.more is None:
            return f"join {self.right} to {self.left}, where several rows may match one: that was not measured"
        rows = "1 row" if self.more == 1 else f"{self.more:,} rows"
        return f"join several rows of {self.right} to one of {self.left}: {rows} more"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a plan: rows in and out by step, remarks on joins and names, and first rows by writer.

    `cut` are the sources of which only the first `SAMPLE` rows were read; `missing` are the steps that were not
    measured in time. Figures on joins are only told where nothing was cut: the match of a row may be among the rest.
    `multiplied` are joins by which several rows match one, or may where no key says otherwise.
    """

    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    outputs: Mapping[str, Table] = field(default_factory=dict)
    cut: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    multiplied: tuple[Multiplied, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yield what was measured in words, but for the first rows."""
        if self.cut:
            yield f"on the first {SAMPLE:,} rows of {', '.join(self.cut)}; joins are not measured"
        for step, (taken, given) in self.rows.items():
            yield f"{step}: {taken:,} rows in, {given:,} rows out"
        yield from self.remarks
        if self.missing:
            yield f"not measured: {', '.join(self.missing)}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the figures as plain data, without rows."""
        return {
            "rows": {step: {"in": taken, "out": given} for step, (taken, given) in self.rows.items()},
            "remarks": list(self.remarks),
            "cut": list(self.cut),
            "missing": list(self.missing),
            "lines": list(self.lines()),
        }


def outputs_of(workspace: Workspace, compiled: Compiled, keys: Keys | None = None) -> tuple[OutputText, ...]:
    """Return in plain words what each output of a plan is; nothing is run, and no source is asked.

    `keys` are the primary keys of sources by the steps that read them, where the caller knows them; else those that
    discovery has seen are taken.
    """
    from osiris.compare.read_back import read_back

    return read_back(compiled.plain(), seen_keys(workspace, compiled) if keys is None else keys)


def seen_keys(workspace: Workspace, compiled: Compiled) -> dict[str, list[tuple[str, ...]]]:
    """Return the primary keys that discovery has seen of the sources of a plan, by the steps that read them."""
    from osiris.discovery.feed import recall

    pins = compiled.sources.pins
    seen = recall(workspace.project, {pin.source.key for pin in pins.values()})
    found = {step: seen[pin.source.key].primary_key for step, pin in pins.items() if pin.source.key in seen}
    return {step: [key] for step, key in found.items() if key}


def read_back(
    workspace: Workspace, compiled: Compiled, budget: float = BUDGET, *, keys: Keys | None = None
) -> Measured:
    """Return what a plan does with the rows that are there now, as far as it can be told in so many seconds.

    All rows are tried first, then the first `SAMPLE` of each source. No target is touched. `keys` are as `outputs_of`
    takes them. Fails with the problems of the step that failed.
    """
    from osiris.runner.adapter import Link
    from osiris.runner.host.adapters import asked_worker

    ends_at = time.monotonic() + budget
    plan = compiled.plain()
    asked = _with_probes(plan, seen_keys(workspace, compiled) if keys is None else keys)
    with ExitStack() as stack:
        worker = stack.enter_context(asked_worker(workspace.project, workspace.config))
        found = _measured(workspace, compiled, asked, 0, worker, budget * _FIRST_TRY)
        if found.late:
            is_ready = found.answered and isinstance(worker, Link)
            again = worker if is_ready else stack.enter_context(asked_worker(workspace.project, workspace.config))
            found = _measured(workspace, compiled, asked, SAMPLE, again, ends_at - time.monotonic())
    return _told(plan, asked, found)


def multiplied(workspace: Workspace, compiled: Compiled) -> tuple[Multiplied, ...]:
    """Return the joins of a plan by which several rows match one, or may; measured only where no key tells."""
    asked = _with_probes(compiled.plain(), seen_keys(workspace, compiled))
    unmeasured = tuple(_multiplied(asked, {}))
    if not unmeasured:
        return ()
    try:
        return read_back(workspace, compiled).multiplied
    except OsirisError:
        return unmeasured


@dataclass(frozen=True, slots=True)
class _Asked:
    """A plan with steps that count, those by their probes, and the steps whose rows are shown, by writer."""

    plan: Manifest
    probes: Mapping[str, Probe]
    shown: Mapping[str, str]


def _with_probes(plan: Manifest, keys: Keys) -> _Asked:
    from osiris.compare.read_back import ends_of, probes
    from osiris.model import Manifest

    steps = {step["id"]: step for step in plan.steps}
    made: dict[str, Probe] = {}
    for name, several in probes(plan, keys).items():
        for number, probe in enumerate(several):
            made[f"{name}_probe_{number}"] = probe
            steps[f"{name}_probe_{number}"] = _probe_step(steps[name], f"{name}_probe_{number}", probe)
    shown = {end["id"]: _output_of(end) for end in ends_of(plan)}
    return _Asked(Manifest({**plan.data, "steps": list(steps.values())}), made, shown)


def _output_of(end: Mapping[str, JsonValue]) -> str:
    """Return the step that gives the rows of an output."""
    return str(next(iter(end["inputs"].values())) if end["mode"] == "write" else end["id"])


def _probe_step(step: Mapping[str, JsonValue], name: str, probe: Probe) -> dict[str, JsonValue]:
    """Return a step that gives the numbers of a probe, in the place of another."""
    schema = [{"name": f"n{number}", "type": "int64", "nullable": True} for number in range(probe.numbers)]
    (key,) = step["sql"]
    return {**step, "id": name, "config": {key: probe.query}, "schema": schema, "order": "free", "lineage": None}


def _measured(
    workspace: Workspace, compiled: Compiled, asked: _Asked, sample: int, worker: Worker, seconds: float
) -> Figures:
    from osiris.runner.host.preview import Look, measure

    look = Look([*dict.fromkeys(asked.shown.values()), *asked.probes], _SHOWN, sample)
    words = (asked.plan, compiled.pipeline, look, workspace.config, workspace.environ, worker, seconds)
    return measure(workspace.project, *words)


def _multiplied(asked: _Asked, numbers: Mapping[str, Sequence[int]]) -> Iterator[Multiplied]:
    from osiris.sql.explanation.probes import JoinProbe

    for name, probe in asked.probes.items():
        if isinstance(probe, JoinProbe) and not probe.narrow:
            more = probe.more(numbers[name]) if name in numbers else None
            if more is None or more > 0:
                yield Multiplied(probe.left, probe.right, more)


def _numbers(asked: _Asked, found: Figures) -> dict[str, Sequence[int]]:
    """Return what the probes counted, by step, as far as they were in time; nothing where sources were cut."""
    if found.cut:
        return {}
    return {name: found.tables[name].rows[0] for name in asked.probes if name in found.tables}


def _told(plan: Manifest, asked: _Asked, found: Figures) -> Measured:
    numbers = _numbers(asked, found)
    steps = [step["id"] for step in plan.steps if step["mode"] != "write"]
    measured, missing = ([step for step in steps if (step in found.rows) is is_there] for is_there in (True, False))
    return Measured(
        rows={step: found.rows[step] for step in measured},
        remarks=tuple(filter(None, (asked.probes[name].text(row) for name, row in numbers.items()))),
        outputs={writer: found.tables[step] for writer, step in asked.shown.items() if step in found.tables},
        cut=tuple(found.cut),
        missing=tuple(missing),
        multiplied=tuple(_multiplied(asked, numbers)),
    )
