"""Runs the steps of a job in the worker: groups of streams, pulled by the step that drains them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.delivery import inspect_file
from osiris.errors import Diagnostic, fail
from osiris.files import fail_os
from osiris.model import Described, Schema, schema_from_json
from osiris.runner.casts import cast_schema, cast_stream
from osiris.runner.edges import Meter, watched
from osiris.runner.failure import explain
from osiris.runner.groups import Group, count_readers, plan_groups
from osiris.runner.place import Place, Ready, make_ready
from osiris.runner.stop import Request, Stopped
from osiris.table import Digester, RowStream, digested, spool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from osiris.driver import Written
    from osiris.model import JsonValue


@dataclass(slots=True)
class Active:
    """A step that has started and not ended; `meter` counts its output, `inputs` what it has read."""

    data: Mapping[str, JsonValue]
    started: float
    ready: Ready | None = None
    meter: Meter = field(default_factory=Meter)
    inputs: list[Meter] = field(default_factory=list)
    digester: Digester | None = None
    written: Written | None = None
    failure: Exception | None = None

    @property
    def rows(self) -> int:
        """Rows so far: what it gave, or, of a writer, what it took."""
        return sum(meter.rows for meter in self.inputs) if self.data["mode"] == "write" else self.meter.rows

    @property
    def overdue(self) -> bool:
        """Tell whether the step has run for longer than it may."""
        limit = self.ready.timeout if self.ready else None
        return limit is not None and time.monotonic() - self.started > limit


class Execution:
    """One run job: `run` does it; `active` shows other threads how far it is."""

    def __init__(self, place: Place) -> None:
        self.active: dict[str, Active] = {}
        self._place = place
        self._steps = {step["id"]: step for step in place.job.steps}
        self._outputs: dict[str, Callable[[], RowStream]] = {}
        self._spooled: dict[str, tuple[Path, int]] = {}
        self._left = defaultdict(int, count_readers([s for s in place.job.steps if s["id"] not in place.job.skip]))
        self._current = ""

    def run(self) -> bool:
        """Run all groups; returns False if a step failed or somebody asked to stop."""
        for step, reason in self._place.job.skip.items():
            self._place.outbox.send("step_skipped", step=step, reason=reason)
        return all(self._run_group(group) for group in plan_groups(self._place.job.steps, self._place.job.skip))

    def _run_group(self, group: Group) -> bool:
        try:
            with self._place.stopper.armed():
                self._flow(group)
                ends = [self._end(self.active[name]) for name in group.steps]
        except (Stopped, Exception) as error:  # noqa: BLE001  a stranger's driver may raise anything
            # A library that was interrupted raises an error of its own, so the request is asked for first.
            if request := self._place.stopper.request:
                self.give_up(request)
            else:
                self._fail(error)
            return False
        for name, end in zip(group.steps, ends, strict=True):
            del self.active[name]
            self._place.outbox.send("step_complete", step=name, **end)
        return True

    def _flow(self, group: Group) -> None:
        for name in group.steps[:-1]:
            output = self._output(*self._start(name))
            self._outputs[name] = lambda output=output: output  # type: ignore[misc]
        last, ready = self._start(group.steps[-1])
        if group.drain == "write":
            self._write(last, ready)
            return
        output = self._output(last, ready)
        if group.drain == "spool":
            path = Path(self._place.job.scratch) / f"{last.data['id']}.arrow"
            self._outputs[last.data["id"]] = _spooled(output, path, last.meter)
            self._spooled[last.data["id"]] = (path, last.meter.rows)
            return
        for _ in output.batches():
            self._place.stopper.check()

    def _start(self, name: str) -> tuple[Active, Ready]:
        self._current = name
        step = self._steps[name]
        self.active[name] = active = Active(step, time.monotonic())
        self._place.outbox.send("step_start", step=name, component=step["component"], mode=step["mode"])
        active.ready = ready = make_ready(self._place, step)
        return active, ready

    def _output(self, active: Active, ready: Ready) -> RowStream:
        """Call the driver of an extractor or a processor, and return its output in the planned schema."""
        inputs = {name: self._input(active, parent) for name, parent in active.data["inputs"].items()}
        planned = schema_from_json(active.data["schema"])
        own = self._own_schema(ready, inputs, planned)
        if active.data["mode"] == "read":
            output = ready.driver.read(ready.config, own, ready.context)
        else:
            output = ready.driver.transform(ready.config, inputs, own, ready.context)
        _check_schema(active.data["id"], output.schema, own)
        if ready.casts:
            output = cast_stream(output, ready.casts, active.data["id"])
        output = watched(output, active.meter, self._place.stopper)
        return self._digested(active, output) if self._place.job.digest == "all" else output

    def _own_schema(self, ready: Ready, inputs: Mapping[str, RowStream], planned: Schema) -> Schema:
        """Return what the driver itself must give: the plan has the schema after the casts, so it is asked again."""
        if not ready.casts:
            return planned
        own = describe_ready(ready, {name: source.schema for name, source in inputs.items()}).schema or ()
        _check_schema(ready.data["id"], cast_schema(own, ready.casts, ready.data["id"]), planned)
        return own

    def _write(self, active: Active, ready: Ready) -> None:
        (parent,) = active.data["inputs"].values()
        rows = self._input(active, parent)
        if ready.casts:
            rows = cast_stream(rows, ready.casts, active.data["id"])
        active.written = ready.driver.write(ready.config, self._digested(active, rows), ready.context)

    def _digested(self, active: Active, rows: RowStream) -> RowStream:
        active.digester = Digester(rows.schema, rows.order)
        return digested(rows, active.digester)

    def _input(self, active: Active, parent: str) -> RowStream:
        meter = Meter()
        active.inputs.append(meter)
        return watched(self._outputs[parent](), meter, self._place.stopper)

    def _end(self, active: Active) -> dict[str, JsonValue]:
        """Check that the step's rows add up, let go what it read, and return the fields of its end."""
        self._current = active.data["id"]
        rows_in, rows_out, rejected = _ledger(active, [self._spooled.get(p) for p in active.data["inputs"].values()])
        for parent in active.data["inputs"].values():
            self._let_go(parent)
        end: dict[str, JsonValue] = {
            "component": active.data["component"],
            "mode": active.data["mode"],
            "rows_in": rows_in,
            "rows_out": rows_out,
            "rows_rejected": rejected,
            "read_to_end": active.data["mode"] == "write" or active.meter.ended,
            "duration_ms": _ms_since(active.started),
            "counts": dict(active.ready.counts) if active.ready else {},
        }
        if active.digester:
            end["digest"] = active.digester.result()
        if active.written:
            end["bytes_written"] = active.written.bytes
            root = Path(self._place.job.root)
            end["files"] = [inspect_file(root, path).to_json() for path in active.written.files]
        return end

    def _let_go(self, parent: str) -> None:
        self._left[parent] -= 1
        if self._left[parent] == 0 and parent in self._spooled:
            del self._outputs[parent]
            self._spooled.pop(parent)[0].unlink(missing_ok=True)

    def _fail(self, error: BaseException) -> None:
        """End the step that failed first, seen from the top, and with it all that were under way."""
        failed = next((a for a in self.active.values() if a.meter.failure), self.active[self._current])
        self._end_failed(failed, explain(self._place, failed.data, failed.meter.failure or error))

    def give_up(self, request: Request) -> None:
        """End what is under way, as somebody asked to."""
        if request.reason == "timeout" and request.step in self.active:
            overdue = self.active[request.step]
            self._end_failed(overdue, timed_out(overdue))
            return
        for name, active in self.active.items():
            self._place.outbox.send("step_cancelled", step=name, duration_ms=_ms_since(active.started))

    def _end_failed(self, failed: Active, found: list[Diagnostic]) -> None:
        for name, active in self.active.items():
            fields: dict[str, JsonValue] = {"step": name, "duration_ms": _ms_since(active.started)}
            if active is failed:
                texts = [d.to_json() for d in found]
                self._place.outbox.send("step_failed", **fields, rows=active.rows, diagnostics=texts)
            else:
                self._place.outbox.send("step_cancelled", **fields, because=failed.data["id"])


def describe_ready(ready: Ready, inputs: Mapping[str, Schema]) -> Described:
    """Ask a driver what it will give, before casts; a writer is asked whether it can carry its input."""
    if ready.data["mode"] == "read":
        answer: Described = ready.driver.describe(ready.config, ready.context)
    elif ready.data["mode"] == "transform":
        answer = ready.driver.describe(ready.config, inputs, ready.context)
    else:
        (schema,) = inputs.values()
        ready.driver.check(ready.config, cast_schema(schema, ready.casts, ready.data["id"]), ready.context)
        answer = Described(None)
    return answer


def attempt(place: Place, data: Mapping[str, JsonValue], action: Callable[[], Any]) -> tuple[Any, list[Diagnostic]]:
    """Call what may run a stranger's code; returns its answer, or None and what went wrong."""
    try:
        with place.stopper.armed():
            return action(), []
    except Exception as error:  # noqa: BLE001  a stranger's driver may raise anything
        return None, explain(place, data, error)


def timed_out(active: Active) -> list[Diagnostic]:
    """Return what is said of a step that took too long."""
    from osiris.errors import diagnostic

    limit = active.ready.timeout if active.ready else None
    return [diagnostic("RUN002", step=active.data["id"], timeout=f"{limit:g} s")]


def _spooled(output: RowStream, path: Path, meter: Meter) -> Callable[[], RowStream]:
    try:
        return spool(output, path)
    except OSError as error:
        if meter.failure:
            raise
        fail_os(error, path)


def _check_schema(step: str, found: Schema, planned: Schema) -> None:
    if found == planned:
        return
    gone = [f"{c.name} {c.type}{'' if c.nullable else ' not null'}" for c in planned if c not in found]
    new = [f"{c.name} {c.type}{'' if c.nullable else ' not null'}" for c in found if c not in planned]
    problem = f"planned {', '.join(gone)}; found {', '.join(new)}" if gone or new else "its columns changed places"
    fail("DAT011", step=step, problem=problem)


def _ledger(active: Active, spooled: list[tuple[Path, int] | None]) -> tuple[int, int, int]:
    """Return rows in, out and rejected; fails with DAT008 if they do not add up."""
    step, counts = active.data["id"], active.ready.counts if active.ready else {}
    taken = sum(meter.rows for meter in active.inputs)
    for meter, source in zip(active.inputs, spooled, strict=True):
        if source and meter.ended and meter.rows != source[1]:
            fail("DAT008", step=step, problem=f"{source[1]} rows were stored for it, and {meter.rows} came back")
    if active.data["mode"] == "transform":
        return taken, active.meter.rows, counts.get("rows_rejected", 0)
    if active.written:
        return _writer_ledger(step, active.inputs[0], active.written)
    rejected = counts.get("rows_rejected", 0)
    given = active.meter.rows + rejected + counts.get("rows_filtered", 0)
    read = counts.get("rows_read", given)
    if active.meter.ended and read != given:
        fail("DAT008", step=step, problem=f"it read {read} rows and accounts for {given}")
    return read, active.meter.rows, rejected


def _writer_ledger(step: str, edge: Meter, written: Written) -> tuple[int, int, int]:
    if not edge.ended:
        fail("DAT008", step=step, problem=f"it stopped after {edge.rows} rows, before the end of its input")
    if edge.rows != written.rows + written.rejected:
        problem = f"it took {edge.rows} rows, wrote {written.rows} and rejected {written.rejected}"
        fail("DAT008", step=step, problem=problem)
    return edge.rows, written.rows, written.rejected


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)
