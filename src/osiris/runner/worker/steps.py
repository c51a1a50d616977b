"""Runs the steps of a job: groups of streams, each pulled by its last step, several groups at once."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
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
from osiris.runner.stages import Group, plan_groups
from osiris.runner.worker.casts import cast_schema, cast_stream
from osiris.runner.worker.checks import FAILED, run_checks, spooled
from osiris.runner.worker.failure import caught, explain, out_of_memory
from osiris.runner.worker.increments import Increments
from osiris.runner.worker.job_context import JobContext, Ready, make_ready, share_of
from osiris.runner.worker.preview_rows import sampled, send_rows
from osiris.runner.worker.running_step import Active, Meter, balance, metered
from osiris.runner.worker.spools import Spools, kept
from osiris.runner.worker.write_order import refusal, write_order
from osiris.table import Relation, RowStream, stream
from osiris.table.stream import opened_early
from osiris.types import spelled
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import pyarrow as pa

    from osiris.driver import StepContext
    from osiris.model import JsonValue, Schema
    from osiris.replication import Increment

    Steps = Mapping[str, Mapping[str, JsonValue]]
    End = Mapping[str, JsonValue]
    Ends = Mapping[str, End]


class Flow:
    """One running group: its streams, and the progress and end of its steps."""

    def __init__(self, job_ctx: JobContext, group: Group, steps: Steps, spools: Spools, increments: Increments) -> None:
        self.active: dict[str, Active] = {}
        self.group = group
        self.job_ctx = job_ctx
        self._steps = steps
        self._spools = spools
        self._increments = increments
        self._streams: dict[str, tuple[RowStream, Meter]] = {}
        self._early = ExitStack()
        self._current = group.steps[0]
        self._failures: Counter[str] = Counter()
        self._attempt = 1
        self._pause = 0.0
        self._reads = sum(steps[name]["mode"] == "read" for name in group.steps)
        self._fused = fused_in(group.steps, steps) if job_ctx.job.digest == "written" else set()
        self._fused.difference_update(job_ctx.job.keep)  # a fused step has no rows of its own

    def run(self) -> dict[str, dict[str, JsonValue]]:
        """Run the group; returns the fields of each step's end."""
        self.job_ctx.stopper.wait(self._pause)
        with self._early:
            for name in self.group.steps[:-1]:
                active, ready = self._start(name)
                self._streams[name] = self._output(active, ready), active.meter
            last, ready = self._start(self.group.steps[-1])
            if self.group.drain == "write":
                self._write(last, ready)
            elif self.group.drain == "spool":
                self._spools.store(last.data["id"], self._output(last, ready), last.meter)
                self._inspect_output(last)
            else:
                for _ in self._output(last, ready).batches():
                    self.job_ctx.stopper.check()
            return {name: self._end(self.active[name]) for name in self.group.steps}

    def complete(self, ends: Ends) -> None:
        """End all steps successfully, and release their inputs."""
        for name, end in ends.items():
            if active := self.active.pop(name, None):
                self.job_ctx.outbox.send("step_complete", step=name, **end)
                self._spools.release(active.data["inputs"].values())

    def blame(self, error: BaseException) -> tuple[str, list[Diagnostic]]:
        """Return the most upstream failed step, and its diagnostics."""
        failed = next((a for a in self.active.values() if a.meter.failure), self.active[self._current])
        return failed.data["id"], explain(self.job_ctx, failed.data, failed.meter.failure or error)

    def unfuse(self, step: str, diagnostics: list[Diagnostic]) -> bool:
        """Return whether to rerun the group without fusing, which identifies the step that failed."""
        if not self._fused or self._steps[step]["mode"] == "write" or diagnostics[0].code == FAILED:
            return False
        self._fused = set()
        self.job_ctx.outbox.send("step_unfused", step=step, code=diagnostics[0].code)
        self._start_over()
        return True

    def retry(self, step: str, diagnostics: list[Diagnostic]) -> bool:
        """Return whether to rerun the group after a failed step, and prepare for it; the writer has written nothing."""
        self._failures[step] += 1
        ready = self.active[step].ready
        pause = pause_before(ready.retry if ready else None, diagnostics, self._failures[step])
        if pause is None:
            return False
        self._pause = pause
        self._attempt += 1
        first = {"code": diagnostics[0].code, "message": diagnostics[0].message}
        self.job_ctx.outbox.send("step_retry", step=step, attempt=self._attempt, wait_ms=round(pause * 1000), **first)
        self._start_over()
        return True

    def _start_over(self) -> None:
        self.active = {name: Active(active.data, time.monotonic()) for name, active in self.active.items()}
        self._streams.clear()

    def end_failed(self, step: str, diagnostics: list[Diagnostic]) -> None:
        """End a step as failed, and cancel the other running steps because of it."""
        if failed := self.active.pop(step, None):
            items = [d.to_json() for d in diagnostics]
            self._send("step_failed", failed, rows=failed.rows, attempts=self._attempt, diagnostics=items)
        self.end_cancelled(because=step)

    def end_cancelled(self, **why: JsonValue) -> None:
        """End all running steps as cancelled; may be called from another thread."""
        for name in list(self.active):
            if active := self.active.pop(name, None):
                self._send("step_cancelled", active, **why)

    def _send(self, event: str, active: Active, **fields: JsonValue) -> None:
        self.job_ctx.outbox.send(event, step=active.data["id"], duration_ms=_ms_since(active.started), **fields)

    def refuse(self, problem: Diagnostic) -> None:
        """Fail the last step before any row is read."""
        name = self.group.steps[-1]
        self._begin(name)
        self.end_failed(name, [problem])

    def _start(self, name: str) -> tuple[Active, Ready]:
        self._current = name
        active = self._begin(name)
        active.ready = ready = make_ready(self.job_ctx, active.data)
        return active, ready

    def _begin(self, name: str) -> Active:
        step = self._steps[name]
        again = name in self.active
        self.active[name] = active = Active(step, time.monotonic())
        if not again:
            what = {"component": step["component"], "mode": step["mode"], **entry_of(step)}
            self.job_ctx.outbox.send("step_start", step=name, **what)
        return active

    def _output(self, active: Active, ready: Ready) -> RowStream:
        """Call the driver of an extractor or a processor, and return its output in the planned schema."""
        inputs = {name: self._input(active, parent) for name, parent in active.data["inputs"].items()}
        planned = schema_from_json(active.data["schema"])
        own = _own_schema(ready, inputs, planned)
        if active.data["id"] in self._fused:
            output = fused_rows(ready.driver.relation(ready.config, own, ready.context), own)
        elif active.data["mode"] == "read":
            # One who waits for another's turn with a shared connection must not hold it.
            self._increments.prepare(ready, alone=self._attempt > 1 or self._reads > 1)
            output = ready.driver.read(ready.config, own, ready.context)
            # If no other rows are read before, an unavailable source fails before others begin. What a cursor's rows
            # are joined with is read after its snapshot, so that it contains what they refer to.
            if self._reads == 1 or ready.context.increment:
                self._early.enter_context(opened_early(output))
        else:
            output = ready.driver.transform(ready.config, inputs, own, ready.context)
        _check_schema(active.data["id"], output.schema, own)
        if ready.casts:
            output = cast_stream(output, ready.casts, active.data["id"])
        if self.job_ctx.job.sample and active.data["mode"] == "read":
            output = sampled(output, self.job_ctx.job.sample, lambda: self._cut(active, ready))
        if active.data["id"] in self.job_ctx.job.keep:
            # The rest of rejected rows would be on record without being counted.
            output = self._keep(active, output, rest="on_reject" not in active.data["config"])
        active.meter.digests = self.job_ctx.job.digest == "all"
        return metered(output, active.meter, self.job_ctx.stopper)

    def _write(self, active: Active, ready: Ready) -> None:
        (parent,) = active.data["inputs"].values()
        self._check(active, parent)
        rows = self._input(active, parent)
        if active.data["id"] in self.job_ctx.job.keep:
            rows = self._keep(active, rows, rest=False)
        if ready.casts:
            rows = metered(cast_stream(rows, ready.casts, active.data["id"]), active.meter, self.job_ctx.stopper)
        else:
            (active.meter,) = active.inputs
        active.meter.digests = True
        if active.data["id"] in self.job_ctx.job.discard:
            active.written = Written(sum(batch.num_rows for batch in rows.batches()), 0)
            return
        increment = self._increments.of_writer(active.data["id"])
        context = replace(ready.context, digest=lambda: active.meter.digest)
        active.written = ready.driver.write(ready.config, rows, delivering(context, increment))

    def _keep(self, active: Active, rows: RowStream, *, rest: bool) -> RowStream:
        return self._early.enter_context(kept(rows, self.job_ctx.job, active.data["id"], rest=rest))

    def _inspect_output(self, active: Active) -> None:
        """Check, and show if requested, an output before any step reads it."""
        step, job = active.data["id"], self.job_ctx.job
        self._check(active, step)
        if step in job.show:
            send_rows(self.job_ctx.outbox, step, self._spools.open(step), job.show_rows, active.meter.rows)

    def _check(self, active: Active, source: str) -> None:
        """Run the checks of a step over the spooled output of `source`."""
        if active.ready and active.ready.checks and self.job_ctx.job.kind == "run":
            active.checks = run_checks(self.job_ctx, active.ready, lambda: self._spools.open(source))

    def _cut(self, active: Active, ready: Ready) -> None:
        """Report that a source has more rows than were read; its driver's counts are then meaningless."""
        ready.counts.clear()
        self.job_ctx.outbox.send("sampled", step=active.data["id"])

    def _input(self, active: Active, parent: str) -> RowStream:
        """Return a step's input: the output of a step in this group, sharing its meter, or a spool."""
        if parent in self._streams:
            rows, meter = self._streams[parent]
        else:
            meter = Meter(expected=self._spools.rows(parent))
            rows = metered(self._spools.open(parent), meter, self.job_ctx.stopper)
        active.inputs.append(meter)
        return rows

    def _end(self, active: Active) -> dict[str, JsonValue]:
        """Check the step's row balance, and return the fields of its end."""
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
        is_reported = active.written or self.job_ctx.job.digest == "all"  # else the writer of the output has the digest
        if is_reported and active.meter.digest:
            end["digest"] = active.meter.digest
        if active.written:
            end |= self._delivered(name, active.written)
        if self._spools.rows(name) is not None:
            end["spool"] = self._spools.inspect(name)
        return end

    def _delivered(self, step: str, written: Written) -> dict[str, JsonValue]:
        """Return the fields of a writer's delivery."""
        root = Path(self.job_ctx.job.root)
        files = [inspect_file(root, path, written.hashes.get(path)).to_json() for path in written.files]
        fields: dict[str, JsonValue] = {"digest": written.earlier} if written.earlier else {}
        fields |= {"bytes_written": written.bytes, "files": [*files, *written.stored]}
        return fields | (self._ledger(step, written.ledger) if written.ledger else {})

    def _ledger(self, step: str, database: str) -> dict[str, JsonValue]:
        job = self.job_ctx.job
        fields = {"ledger": inspect_ledger(Path(job.root), database)}
        if not job.handover:
            return fields
        from osiris.runner.worker.bundle_check import hand_over

        return {**fields, "handed": hand_over(job, step, database)}


class DeletesApart(Flow):
    """The deletes of a pair as a delivery of their own, after its rows; `end` has the fields of its end so far."""

    def __init__(
        self, job_ctx: JobContext, writer: str, steps: Steps, spools: Spools, increments: Increments, end: End
    ) -> None:
        super().__init__(job_ctx, Group((writer,), "write"), steps, spools, increments)
        self.active[writer] = Active(steps[writer], time.monotonic())  # it has started with its rows
        self._ended = end

    def run(self) -> dict[str, dict[str, JsonValue]]:
        """Write no rows, and delete what is left to delete."""
        self.job_ctx.stopper.wait(self._pause)
        (name,) = self.group.steps
        active, ready = self._start(name)
        (parent,) = active.data["inputs"].values()
        schema = cast_schema(schema_from_json(self._steps[parent]["schema"]), ready.casts, name)
        increment = self._increments.of_writer(name)
        context = delivering(ready.context, increment and increment.of_deletes)
        context = replace(context, on_reject="fail")  # it has no rows to reject, and must not replace those set aside
        written = ready.driver.write(ready.config, stream(schema, (), "free"), context)
        file = self._ledger(name, written.ledger) if written.ledger else {}
        duration, counts = self._ended["duration_ms"] + _ms_since(active.started), self._ended["counts"]
        return {name: {**self._ended, **file, "duration_ms": duration, "counts": {**counts, **ready.counts}}}


def delivering(context: StepContext, increment: Increment | None) -> StepContext:
    """Return the context of a delivery: each version of a state is one of its own, also if the run is resumed."""
    if increment is None:
        return context
    return replace(context, increment=increment, run_key=f"{context.run_key}#{increment.version}")


def entry_of(step: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the field of events that names the entry of `replicate` of a step; nothing if it has none."""
    return {"entry": step["entry"]} if "entry" in step else {}


class Execution:
    """Runs a run or preview job; `active` shows its progress to other threads."""

    def __init__(self, job_ctx: JobContext) -> None:
        self._place = job_ctx
        self._steps = {step["id"]: step for step in job_ctx.job.steps}
        self._spools = Spools(job_ctx.job)
        self._increments = Increments(job_ctx)
        self._flows: list[Flow] = []
        self._cause: Request | None = None
        self._failed_pairs: set[int] = set()
        self._delete_ends: dict[str, End] = {}

    @property
    def active(self) -> dict[str, Active]:
        """The running steps, by name."""
        return {name: active for flow in list(self._flows) for name, active in list(flow.active.items())}

    def run(self) -> bool:
        """Run all groups; returns False if a step failed or a stop was requested."""
        for step, reason in self._place.job.skip.items():
            self._place.outbox.send("step_skipped", step=step, reason=reason, **entry_of(self._steps[step]))
        groups = plan_groups(self._place.job.steps, self._place.job.skip, spooled(self._place))
        order = write_order(self._place, groups, self._steps)
        numbered = [*groups, *(groups[number] for number in order.apart)]
        self._increments.delete_later(groups[number].steps[-1] for number in order.apart)

        def act(number: int, share: int) -> bool:
            group = numbered[number]
            if number in order.cycles:
                flow = Flow(self._place, group, self._steps, self._spools, self._increments)
                flow.refuse(refusal(order, number, groups, self._steps))
            elif self._failed_pairs.isdisjoint(order.needs[number]):
                run = self._delete_apart if number >= len(groups) else self._run_group
                if run(group, share):
                    return True
            if not self._is_pair(group) or self._place.stopper.request:
                return False
            self._failed_pairs.add(number)
            return True

        with closing(self._increments):
            is_done = run_all(Agenda(order.waits), self._place.job.parallel, act) and not self._failed_pairs
        for name in self._delete_ends:
            self._place.outbox.send("step_cancelled", step=name, duration_ms=0.0)
        return is_done

    def _run_group(self, group: Group, share: int) -> bool:
        place = share_of(self._place, share)
        return self._run_flow(Flow(place, group, self._steps, self._spools, self._increments))

    def _delete_apart(self, group: Group, share: int) -> bool:
        """Deliver the deletes that the writer of a pair has left, if any; returns False if they failed."""
        name = group.steps[-1]
        end = self._delete_ends.pop(name, None)
        if end is None:
            return True
        place = share_of(self._place, share)
        return self._run_flow(DeletesApart(place, name, self._steps, self._spools, self._increments, end))

    def _is_pair(self, group: Group) -> bool:
        """Return whether a group belongs to an entry of replicate: its failure does not stop the others."""
        return all("entry" in self._steps[name] for name in group.steps)

    def time_out(self, step: str) -> None:
        """Stop the group of a step that timed out."""
        for flow in list(self._flows):
            if step in flow.active:
                flow.job_ctx.stopper.stop(Request("timeout", step), GRACE)

    def run_out_of_memory(self) -> None:
        """Stop the group that started last; the others stop because it failed."""
        for flow in list(self._flows)[-1:]:
            flow.job_ctx.stopper.stop(Request("memory", next(iter(flow.active), None)), GRACE)

    def give_up(self) -> None:
        """End all running steps from another thread, before the process exits."""
        for flow in sorted(self._flows, key=lambda flow: flow.job_ctx.stopper.request is None):
            self._end_as_asked(flow, flow.job_ctx.stopper.request)

    def _run_flow(self, flow: Flow) -> bool:
        self._flows.append(flow)
        if self._cause:
            flow.job_ctx.stopper.stop(self._cause, GRACE)
        try:
            while (ends := self._try(flow)) is None:
                continue
            flow.complete(self._without_deletes(flow, ends))
        finally:
            self._flows.remove(flow)
            flow.job_ctx.stopper.finish()
            for name in flow.group.steps:
                self._increments.end(self._steps[name])
        return bool(ends)

    def _without_deletes(self, flow: Flow, ends: Ends) -> Ends:
        """Return the ends of steps, but keep that of a writer that has left its deletes: it has not ended."""
        name = flow.group.steps[-1]
        increment = self._increments.of_writer(name)
        if name not in ends or isinstance(flow, DeletesApart) or not (increment and increment.leaves_deletes):
            return ends
        self._delete_ends[name] = ends[name]
        return {step: end for step, end in ends.items() if step != name}

    def _try(self, flow: Flow) -> dict[str, dict[str, JsonValue]] | None:
        """Run a group once; returns the ends of its steps, {} if it failed, None to rerun it."""
        error: BaseException | None
        try:
            ends, error = caught(lambda: _interruptible(flow.job_ctx, flow.run))
        except Stopped as stopped:
            ends, error = {}, stopped
        if error is None:
            return dict(ends)
        # An interrupted library raises an error of its own, so the request is checked first.
        if request := flow.job_ctx.stopper.request:
            self._end_as_asked(flow, request)
            return {}
        step, diagnostics = flow.blame(error)
        if flow.unfuse(step, diagnostics) or flow.retry(step, diagnostics):
            return None
        self._end_failed(flow, step, diagnostics)
        return {}

    def _end_as_asked(self, flow: Flow, request: Request | None) -> None:
        step, reason = (request.step, request.reason) if request else (None, None)
        active = flow.active.get(step or "")
        if step and active and reason == "timeout":
            self._end_failed(flow, step, timed_out(active))
        elif step and active and reason == "memory":
            self._end_failed(flow, step, out_of_memory(step, flow.job_ctx.job.limits.memory))
        else:
            flow.end_cancelled(**({"because": step} if step else {}))

    def _end_failed(self, flow: Flow, step: str, diagnostics: list[Diagnostic]) -> None:
        """End a group with a failed step, and stop the other groups."""
        flow.end_failed(step, diagnostics)
        if self._is_pair(flow.group):
            return
        self._cause = Request("failed", step)
        for other in list(self._flows):
            if other is not flow:
                other.job_ctx.stopper.stop(self._cause, GRACE)


def describe_ready(ready: Ready, inputs: Mapping[str, Schema]) -> Described:
    """Describe a driver's output, before casts; a writer checks whether it can carry its input."""
    if ready.data["mode"] == "read":
        answer: Described = ready.driver.describe(ready.config, ready.context)
    elif ready.data["mode"] == "transform":
        answer = ready.driver.describe(ready.config, inputs, ready.context)
    else:
        (schema,) = inputs.values()
        ready.driver.check(ready.config, cast_schema(schema, ready.casts, ready.data["id"]), ready.context)
        answer = Described(None)
    return answer


def attempt(
    job_ctx: JobContext, data: Mapping[str, JsonValue], action: Callable[[], Any]
) -> tuple[Any, list[Diagnostic]]:
    """Call code that may run a third-party driver; returns its answer, or None and the problems."""
    answer, error = caught(lambda: _interruptible(job_ctx, action))
    return answer, explain(job_ctx, data, error) if error else []


def _interruptible(job_ctx: JobContext, action: Callable[[], Any]) -> Any:  # noqa: ANN401  whatever it gives
    """Run an interruptible call."""
    with job_ctx.stopper.armed():
        return action()


def timed_out(active: Active) -> list[Diagnostic]:
    """Return the diagnostics of a step that timed out."""
    limit = active.ready.timeout if active.ready else None
    return [diagnostic("RUN002", step=active.data["id"], timeout=duration_text(limit or 0.0))]


def _own_schema(ready: Ready, inputs: Mapping[str, RowStream], planned: Schema) -> Schema:
    """Return the driver's own output schema; described again if there are casts, as the plan has the cast schema."""
    if not ready.casts:
        return planned
    own = describe_ready(ready, {name: source.schema for name, source in inputs.items()}).schema or ()
    _check_schema(ready.data["id"], cast_schema(own, ready.casts, ready.data["id"]), planned)
    return own


def _check_schema(step: str, actual: Schema, planned: Schema) -> None:
    if actual == planned:
        return
    lost = [f"{column.name} {spelled(column)}" for column in planned if column not in actual]
    new = [f"{column.name} {spelled(column)}" for column in actual if column not in planned]
    problem = (
        f"planned {', '.join(lost)}; found {', '.join(new)}" if lost or new else "its columns are in another order"
    )
    fail("DAT011", step=step, problem=problem)


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)


def fused_in(names: Collection[str], steps: Mapping[str, Mapping[str, JsonValue]]) -> set[str]:
    """Return the fused steps of a group: those merged into the statement of another step in the group."""
    return {source for name in names for source in steps[name]["fused"] if source in names}


def fused_rows(relation: Relation, schema: Schema) -> RowStream:
    """Return a placeholder for the output of a fused step: pulling its rows fails, and the group reruns unfused."""
    return RowStream(schema, "fixed", _no_rows(), relation=relation)


def _no_rows() -> Iterator[pa.RecordBatch]:
    yield from ()
    raise TypeError("the rows of a fused step can be read only by way of their relation")


class Agenda:
    """A dependency queue of the numbers from 0, where n waits for those in `waits[n]`; the smallest is first."""

    def __init__(self, waits: Sequence[Collection[int]]) -> None:
        self.left = len(waits)
        self._missing = [len(needed) for needed in waits]
        self._followers: dict[int, list[int]] = defaultdict(list)
        for number, needed in enumerate(waits):
            for other in needed:
                self._followers[other].append(number)
        self._ready = [number for number, count in enumerate(self._missing) if not count]

    def __len__(self) -> int:
        return len(self._ready)

    def take(self) -> int:
        """Remove and return the next ready number."""
        return heapq.heappop(self._ready)

    def done(self, number: int) -> None:
        """Mark a number as done, which makes its followers ready if they wait for nothing else."""
        self.left -= 1
        for follower in self._followers.pop(number, ()):
            self._missing[follower] -= 1
            if not self._missing[follower]:
                heapq.heappush(self._ready, follower)


def _run_one(agenda: Agenda, act: Callable[[int, int], bool]) -> bool:
    number = agenda.take()
    ok = act(number, 1)
    agenda.done(number)
    return ok


def run_all(agenda: Agenda, width: int, act: Callable[[int, int], bool]) -> bool:
    """Call `act(number, share)` for all, at most `width` at once; stops starting more, and returns False, if one did.

    `share` is the maximum number running at the same time, by which shared resources may be divided. A call that runs
    alone runs in the calling thread, which signals can interrupt.
    """
    proceed = True
    under_way: dict[Future[bool], int] = {}
    with ThreadPoolExecutor(width, thread_name_prefix="group") as pool:
        while under_way or (proceed and agenda):
            if not under_way and 1 in (width, len(agenda)):
                proceed = _run_one(agenda, act)
                continue
            while proceed and agenda and len(under_way) < width:
                share, number = min(width, agenda.left), agenda.take()
                under_way[pool.submit(act, number, share)] = number
            proceed = _await_some(agenda, under_way) and proceed
    return proceed


def _await_some(agenda: Agenda, under_way: dict[Future[bool], int]) -> bool:
    """Wait until some running calls are done; returns False if one of them did."""
    ok = True
    for future in wait(under_way, return_when=FIRST_COMPLETED).done:
        agenda.done(under_way.pop(future))
        ok = future.result() and ok
    return ok
