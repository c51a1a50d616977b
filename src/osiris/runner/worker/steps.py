"""Runs the steps of a job in the worker: groups of streams, pulled by the step that drains them, several at once."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.delivery import inspect_file, inspect_ledger
from osiris.driver import Written
from osiris.errors import Diagnostic, diagnostic, fail
from osiris.model import Described, Schema, schema_from_json
from osiris.runner.cancellation import Request, Stopped
from osiris.runner.protocol import GRACE
from osiris.runner.retry import pause_before
from osiris.runner.stages import Group, plan_groups, waits_of
from osiris.runner.worker.casts import cast_schema, cast_stream
from osiris.runner.worker.checks import FAILED, run_checks, spooled
from osiris.runner.worker.failure import caught, explain, out_of_memory
from osiris.runner.worker.job_context import Place, Ready, make_ready, share_of
from osiris.runner.worker.preview_rows import sampled, tell_rows
from osiris.runner.worker.running_step import Active, Meter, balance, metered
from osiris.runner.worker.spools import Spools
from osiris.table import Relation, RowStream
from osiris.table.stream import opened_early
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.model import JsonValue, Schema

    Steps = Mapping[str, Mapping[str, JsonValue]]


class Flow:
    """One group under way: its streams, how far each of its steps is, and how each ends."""

    def __init__(self, place: Place, group: Group, steps: Steps, spools: Spools) -> None:
        self.active: dict[str, Active] = {}
        self.group = group
        self.place = place
        self._steps = steps
        self._spools = spools
        self._streams: dict[str, tuple[RowStream, Meter]] = {}
        self._early = ExitStack()
        self._current = group.steps[0]
        self._failures: Counter[str] = Counter()
        self._attempt = 1
        self._pause = 0.0
        self._reads = sum(steps[name]["mode"] == "read" for name in group.steps)
        self._fused = fused_in(group.steps, steps) if place.job.digest == "written" else set()

    def run(self) -> dict[str, dict[str, JsonValue]]:
        """Pull everything through the group; returns the fields of each step's end."""
        self.place.stopper.wait(self._pause)
        with self._early:
            for name in self.group.steps[:-1]:
                active, ready = self._start(name)
                self._streams[name] = self._output(active, ready), active.meter
            last, ready = self._start(self.group.steps[-1])
            if self.group.drain == "write":
                self._write(last, ready)
            elif self.group.drain == "spool":
                self._spools.store(last.data["id"], self._output(last, ready), last.meter)
                self._look(last)
            else:
                for _ in self._output(last, ready).batches():
                    self.place.stopper.check()
            return {name: self._end(self.active[name]) for name in self.group.steps}

    def complete(self, ends: Mapping[str, Mapping[str, JsonValue]]) -> None:
        """End all steps well, and let go what they read."""
        for name, end in ends.items():
            if active := self.active.pop(name, None):
                self.place.outbox.send("step_complete", step=name, **end)
                self._spools.let_go(active.data["inputs"].values())

    def blame(self, error: BaseException) -> tuple[str, list[Diagnostic]]:
        """Return the step that failed first, seen from the top, and what went wrong there."""
        failed = next((a for a in self.active.values() if a.meter.failure), self.active[self._current])
        return failed.data["id"], explain(self.place, failed.data, failed.meter.failure or error)

    def unfuse(self, step: str, found: list[Diagnostic]) -> bool:
        """Tell whether all is to be run again without fusing: only then can the step be named that went wrong."""
        if not self._fused or self._steps[step]["mode"] == "write" or found[0].code == FAILED:
            return False
        self._fused = set()
        self.place.outbox.send("step_unfused", step=step, code=found[0].code)
        self._start_over()
        return True

    def retry(self, step: str, found: list[Diagnostic]) -> bool:
        """Tell whether all is to be run again after a step failed, and make ready for it: a writer wrote nothing."""
        self._failures[step] += 1
        ready = self.active[step].ready
        pause = pause_before(ready.retry if ready else None, found, self._failures[step])
        if pause is None:
            return False
        self._pause = pause
        self._attempt += 1
        first = {"code": found[0].code, "message": found[0].message}
        self.place.outbox.send("step_retry", step=step, attempt=self._attempt, wait_ms=round(pause * 1000), **first)
        self._start_over()
        return True

    def _start_over(self) -> None:
        self.active = {name: Active(active.data, time.monotonic()) for name, active in self.active.items()}
        self._streams.clear()

    def end_failed(self, step: str, found: list[Diagnostic]) -> None:
        """End a step as failed, and because of it all others that are under way."""
        if failed := self.active.pop(step, None):
            told = [d.to_json() for d in found]
            self._send("step_failed", failed, rows=failed.rows, attempts=self._attempt, diagnostics=told)
        self.end_cancelled(because=step)

    def end_cancelled(self, **why: JsonValue) -> None:
        """End all that is under way, as somebody asked to; may be called from another thread."""
        for name in list(self.active):
            if active := self.active.pop(name, None):
                self._send("step_cancelled", active, **why)

    def _send(self, event: str, active: Active, **fields: JsonValue) -> None:
        self.place.outbox.send(event, step=active.data["id"], duration_ms=_ms_since(active.started), **fields)

    def _start(self, name: str) -> tuple[Active, Ready]:
        self._current = name
        step = self._steps[name]
        again = name in self.active
        self.active[name] = active = Active(step, time.monotonic())
        if not again:
            self.place.outbox.send("step_start", step=name, component=step["component"], mode=step["mode"])
        active.ready = ready = make_ready(self.place, step)
        return active, ready

    def _output(self, active: Active, ready: Ready) -> RowStream:
        """Call the driver of an extractor or a processor, and return its output in the planned schema."""
        inputs = {name: self._input(active, parent) for name, parent in active.data["inputs"].items()}
        planned = schema_from_json(active.data["schema"])
        own = _own_schema(ready, inputs, planned)
        if active.data["id"] in self._fused:
            output = fused_rows(ready.driver.relation(ready.config, own, ready.context), own)
        elif active.data["mode"] == "read":
            output = ready.driver.read(ready.config, own, ready.context)
            if self._reads == 1:  # nobody else's rows are read before: what is out of reach is told before others begin
                self._early.enter_context(opened_early(output))
        else:
            output = ready.driver.transform(ready.config, inputs, own, ready.context)
        _check_schema(active.data["id"], output.schema, own)
        if ready.casts:
            output = cast_stream(output, ready.casts, active.data["id"])
        if self.place.job.sample and active.data["mode"] == "read":
            output = sampled(output, self.place.job.sample, lambda: self._cut(active, ready))
        active.meter.digests = self.place.job.digest == "all"
        return metered(output, active.meter, self.place.stopper)

    def _write(self, active: Active, ready: Ready) -> None:
        (parent,) = active.data["inputs"].values()
        self._check(active, parent)
        rows = self._input(active, parent)
        if ready.casts:
            rows = metered(cast_stream(rows, ready.casts, active.data["id"]), active.meter, self.place.stopper)
        else:
            (active.meter,) = active.inputs
        active.meter.digests = True
        if active.data["id"] in self.place.job.discard:
            active.written = Written(sum(batch.num_rows for batch in rows.batches()), 0)
            return
        context = replace(ready.context, digest=lambda: active.meter.digest)
        active.written = ready.driver.write(ready.config, rows, context)

    def _look(self, active: Active) -> None:
        """Look at an output before anybody reads it."""
        step, job = active.data["id"], self.place.job
        self._check(active, step)
        if step in job.show:
            tell_rows(self.place.outbox, step, self._spools.open(step), job.show_rows, active.meter.rows)

    def _check(self, active: Active, source: str) -> None:
        """Run the checks of a step over the spooled output of `source`."""
        if active.ready and active.ready.checks and self.place.job.kind == "run":
            active.checks = run_checks(self.place, active.ready, lambda: self._spools.open(source))

    def _cut(self, active: Active, ready: Ready) -> None:
        """Say that a source has more rows than were read of it; what its driver counted says nothing then."""
        ready.counts.clear()
        self.place.outbox.send("sampled", step=active.data["id"])

    def _input(self, active: Active, parent: str) -> RowStream:
        """Return what a step reads: the output of a step in this group, whose meter it shares, or a spool."""
        if parent in self._streams:
            rows, meter = self._streams[parent]
        else:
            meter = Meter()
            rows = metered(self._spools.open(parent), meter, self.place.stopper)
        active.inputs.append(meter)
        return rows

    def _end(self, active: Active) -> dict[str, JsonValue]:
        """Check that the step's rows add up, and return the fields of its end."""
        self._current = name = active.data["id"]
        rows_in, rows_out, rejected = balance(active, [self._spools.rows(p) for p in active.data["inputs"].values()])
        end: dict[str, JsonValue] = {
            "component": active.data["component"],
            "mode": active.data["mode"],
            "rows_in": rows_in,
            "rows_out": rows_out,
            "rows_rejected": rejected,
            "read_to_end": active.data["mode"] == "write" or active.meter.ended,
            "duration_ms": _ms_since(active.started),
            "attempts": self._attempt,
            "counts": dict(active.ready.counts) if active.ready else {},
        }
        end |= {"checks": active.checks} if active.checks else {}
        is_told = active.written or self.place.job.digest == "all"  # else the digest is that of who writes the output
        if is_told and active.meter.digest:
            end["digest"] = active.meter.digest
        if active.written:
            end |= self._delivered(name, active.written)
        if self._spools.rows(name) is not None:
            end["spool"] = self._spools.inspect(name)
        return end

    def _delivered(self, step: str, written: Written) -> dict[str, JsonValue]:
        """Return what a writer has delivered, as its end tells it."""
        root = Path(self.place.job.root)
        files = [inspect_file(root, path, written.hashes.get(path)).to_json() for path in written.files]
        told: dict[str, JsonValue] = {"digest": written.earlier} if written.earlier else {}
        told |= {"bytes_written": written.bytes, "files": [*files, *written.stored]}
        return told | (self._ledger(step, written.ledger) if written.ledger else {})

    def _ledger(self, step: str, database: str) -> dict[str, JsonValue]:
        job = self.place.job
        told = {"ledger": inspect_ledger(Path(job.root), database)}
        if not job.handover:
            return told
        from osiris.runner.worker.bundle_check import hand_over

        return {**told, "handed": hand_over(job, step, database)}


class Execution:
    """One run job: `run` does it; `active` shows other threads how far it is."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._steps = {step["id"]: step for step in place.job.steps}
        self._spools = Spools(place.job)
        self._flows: list[Flow] = []
        self._cause: Request | None = None

    @property
    def active(self) -> dict[str, Active]:
        """Return the steps that are under way."""
        return {name: active for flow in list(self._flows) for name, active in list(flow.active.items())}

    def run(self) -> bool:
        """Run all groups; returns False if a step failed or somebody asked to stop."""
        for step, reason in self._place.job.skip.items():
            self._place.outbox.send("step_skipped", step=step, reason=reason)
        groups = plan_groups(self._place.job.steps, self._place.job.skip, spooled(self._place))
        agenda = Agenda(waits_of(groups, self._steps))
        return run_all(agenda, self._place.job.parallel, lambda n, share: self._run_group(groups[n], share))

    def time_out(self, step: str) -> None:
        """Stop the group of a step that takes too long."""
        for flow in list(self._flows):
            if step in flow.active:
                flow.place.stopper.stop(Request("timeout", step), GRACE)

    def run_out_of_memory(self) -> None:
        """Stop the group that began last; the others stop as it has failed."""
        for flow in list(self._flows)[-1:]:
            flow.place.stopper.stop(Request("memory", next(iter(flow.active), None)), GRACE)

    def give_up(self) -> None:
        """End all that is under way, from another thread: the process is about to end."""
        for flow in sorted(self._flows, key=lambda flow: flow.place.stopper.request is None):
            self._end_as_asked(flow, flow.place.stopper.request)

    def _run_group(self, group: Group, share: int) -> bool:
        flow = Flow(share_of(self._place, share), group, self._steps, self._spools)
        self._flows.append(flow)
        if self._cause:
            flow.place.stopper.stop(self._cause, GRACE)
        try:
            while (ends := self._try(flow)) is None:
                continue
            flow.complete(ends)
        finally:
            self._flows.remove(flow)
            flow.place.stopper.finish()
        return bool(ends)

    def _try(self, flow: Flow) -> dict[str, dict[str, JsonValue]] | None:
        """Run a group once; returns the ends of its steps, none if they have ended badly, None to run it again."""
        error: BaseException | None
        try:
            ends, error = caught(lambda: _armed(flow.place, flow.run))
        except Stopped as stopped:
            ends, error = {}, stopped
        if error is None:
            return dict(ends)
        # A library that was interrupted raises an error of its own, so the request is asked for first.
        if request := flow.place.stopper.request:
            self._end_as_asked(flow, request)
            return {}
        step, found = flow.blame(error)
        if flow.unfuse(step, found) or flow.retry(step, found):
            return None
        self._end_failed(flow, step, found)
        return {}

    def _end_as_asked(self, flow: Flow, request: Request | None) -> None:
        step, reason = (request.step, request.reason) if request else (None, None)
        active = flow.active.get(step or "")
        if step and active and reason == "timeout":
            self._end_failed(flow, step, timed_out(active))
        elif step and active and reason == "memory":
            self._end_failed(flow, step, out_of_memory(step, flow.place.job.limits.memory))
        else:
            flow.end_cancelled(**({"because": step} if step else {}))

    def _end_failed(self, flow: Flow, step: str, found: list[Diagnostic]) -> None:
        """End a group of which a step has failed, and ask the others to stop."""
        flow.end_failed(step, found)
        self._cause = Request("failed", step)
        for other in list(self._flows):
            if other is not flow:
                other.place.stopper.stop(self._cause, GRACE)


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
    answer, error = caught(lambda: _armed(place, action))
    return answer, explain(place, data, error) if error else []


def _armed(place: Place, action: Callable[[], Any]) -> Any:  # noqa: ANN401  whatever it gives
    """Call what may be stopped in its midst."""
    with place.stopper.armed():
        return action()


def timed_out(active: Active) -> list[Diagnostic]:
    """Return what is said of a step that took too long."""
    limit = active.ready.timeout if active.ready else None
    return [diagnostic("RUN002", step=active.data["id"], timeout=duration_text(limit or 0.0))]


def _own_schema(ready: Ready, inputs: Mapping[str, RowStream], planned: Schema) -> Schema:
    """Return what the driver itself must give: the plan has the schema after the casts, so it is asked again."""
    if not ready.casts:
        return planned
    own = describe_ready(ready, {name: source.schema for name, source in inputs.items()}).schema or ()
    _check_schema(ready.data["id"], cast_schema(own, ready.casts, ready.data["id"]), planned)
    return own


def _check_schema(step: str, found: Schema, planned: Schema) -> None:
    if found == planned:
        return
    gone = [f"{c.name} {c.type}{'' if c.nullable else ' not null'}" for c in planned if c not in found]
    new = [f"{c.name} {c.type}{'' if c.nullable else ' not null'}" for c in found if c not in planned]
    problem = (
        f"planned {', '.join(gone)}; found {', '.join(new)}" if gone or new else "its columns are in another order"
    )
    fail("DAT011", step=step, problem=problem)


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)


def fused_in(names: Collection[str], steps: Mapping[str, Mapping[str, JsonValue]]) -> set[str]:
    """Return the fused ones among the steps of a group: those whose statement is in it too."""
    return {source for name in names for source in steps[name]["fused"] if source in names}


def fused_rows(relation: Relation, schema: Schema) -> RowStream:
    """Return what stands for the output of a fused step: whoever pulls it fails, and the group runs again unfused."""
    return RowStream(schema, "fixed", _no_rows(), relation=relation)


def _no_rows() -> Iterator[pa.RecordBatch]:
    yield from ()
    raise TypeError("the rows of a fused step can be read only by way of their relation")


class Agenda:
    """What may begin: numbers from 0, of which number n waits for those in `waits[n]`; the least is the next."""

    def __init__(self, waits: Sequence[Collection[int]]) -> None:
        self.left = len(waits)
        self._missing = [len(needed) for needed in waits]
        self._followers: dict[int, list[int]] = defaultdict(list)
        for number, needed in enumerate(waits):
            for other in needed:
                self._followers[other].append(number)
        self._ready = [number for number, missing in enumerate(self._missing) if not missing]

    def __len__(self) -> int:
        return len(self._ready)

    def take(self) -> int:
        """Return what begins next."""
        return heapq.heappop(self._ready)

    def done(self, number: int) -> None:
        """Note that one is done, so that those that waited for it may begin."""
        self.left -= 1
        for follower in self._followers.pop(number, ()):
            self._missing[follower] -= 1
            if not self._missing[follower]:
                heapq.heappush(self._ready, follower)


def _act_alone(agenda: Agenda, act: Callable[[int, int], bool]) -> bool:
    number = agenda.take()
    well = act(number, 1)
    agenda.done(number)
    return well


def run_all(agenda: Agenda, width: int, act: Callable[[int, int], bool]) -> bool:
    """Call `act(number, share)` for all, at most `width` at once; returns False if one did, after which none begins.

    `share` is how many may be under way at once while this one is: what they share may be divided by it. What begins
    alone does so in the calling thread, which can be interrupted by signals.
    """
    going_on = True
    under_way: dict[Future[bool], int] = {}
    with ThreadPoolExecutor(width, thread_name_prefix="group") as pool:
        while under_way or (going_on and agenda):
            if not under_way and 1 in (width, len(agenda)):
                going_on = _act_alone(agenda, act)
                continue
            while going_on and agenda and len(under_way) < width:
                share, number = min(width, agenda.left), agenda.take()
                under_way[pool.submit(act, number, share)] = number
            going_on = _await_some(agenda, under_way) and going_on
    return going_on


def _await_some(agenda: Agenda, under_way: dict[Future[bool], int]) -> bool:
    """Wait until some of what is under way is done; returns False if one of them did."""
    well = True
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        agenda.done(under_way.pop(future))
        well = future.result() and well
    return well
