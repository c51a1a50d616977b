"""Runs a job remotely: sends its files, follows its events, and fetches its outputs.

Shared by all remote targets; `transport.py` defines what differs. Jobs before a run, such as describing sources, run in
a local worker: the sandbox is created for the run only.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.delivery import inspect_file, inspect_ledger
from osiris.durable import PRIVATE_FILE, make_folder
from osiris.errors import OsirisError, diagnostic, fail
from osiris.files import relative
from osiris.path_policy import PathPolicy
from osiris.project import Project
from osiris.runner.adapter import Link, PerJobWorker, WorkerDied
from osiris.runner.remote import bundle
from osiris.runner.remote.bootstrap import WaitLimit, clear_place, launch_worker, probe_python, unpack
from osiris.runner.remote.bwrap import worker_for
from osiris.runner.remote.fetch import Fetcher, fetch_folder
from osiris.runner.remote.install import install
from osiris.runner.remote.remote_process import RemoteProcess
from osiris.runner.remote.sandbox_scope import SandboxScope, scope_of
from osiris.runner.transport import KEEPING, Cut, Gone, Keeping, patiently, renewing
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.adapter import Listener, Worker
    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.remote.bootstrap import RemotePython, StartedWorker
    from osiris.runner.remote.e2b import E2B
    from osiris.runner.transport import Transport

    Event = dict[str, Any]

_KEPT_OUTPUT = 1 << 20
SILENCE = 30.0
"""Seconds without a heartbeat after which the remote end is considered dead."""


class Remote:
    """The remote worker of a run; a context manager.

    `upload` and `fetch` limit the bytes sent and fetched. `engines` are the versions required there.
    """

    def __init__(
        self,
        transport: Transport,
        root: Path,
        *,
        upload: int | None,
        fetch: int | None,
        engines: dict[str, str],
        silence: float = SILENCE,
    ) -> None:
        self.output = bytearray()
        self.figures: dict[str, float] = {}
        self._transport, self._root = transport, root
        self._limits = upload, fetch
        self._engines, self._silence = engines, silence
        self._wait_limit = WaitLimit(silence, self._check_stopped)
        self._worker: Worker | None = None
        self._stopped: str | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Run one job, as `Link.ask`; a step's outputs are in place before its end is passed on.

        Fails with SBX010 to SBX015, SBX024 to SBX027 and the transport's codes; raises WorkerDied.
        """
        if job.kind != "run":
            here = PerJobWorker(partial(worker_for, root=self._root, network=True))
            self._bind(here)
            return here.ask(job, secrets, listener, pulse)
        began = time.monotonic()
        scope = scope_of(job, secrets)
        bundle.refuse_outside(self._root, scope, self._transport.name)
        try:
            return self._run(job, secrets, scope, listener, pulse)
        except (Cut, Gone) as error:
            fail("SBX015", what="the sandbox", done="reached", reason=str(error) or type(error).__name__)
        finally:
            spent = (time.monotonic() - began) * 1000 - self.figures.pop("worker_ms", 0.0)
            self.figures["adapter_overhead_ms"] = round(max(spent, 0.0), 3)

    def cancel(self) -> None:
        """Ask the worker to stop, now or as soon as it exists. Safe in a signal handler."""
        self._stopped = self._stopped or "cancelled"
        if self._worker:
            self._worker.cancel()

    def kill(self, why: str | None = None) -> None:
        """Kill the worker, if there is one."""
        self._stopped = why or "killed"
        if self._worker:
            self._worker.kill(why)

    def _bind(self, worker: Worker) -> None:
        self._worker = worker
        self._check_stopped()

    def _check_stopped(self) -> None:
        """Raise WorkerDied if a stop was requested before the worker existed."""
        if self._stopped:
            raise WorkerDied(self._stopped)

    def _run(
        self, job: Job, secrets: Secrets, scope: SandboxScope, listener: Listener, pulse: Listener | None
    ) -> dict[str, JsonValue]:
        began = time.monotonic()
        self._stack.callback(self._transport.close)
        place = self._transport.open(scope.hosts if bool(scope.hosts) == scope.network else None)
        with renewing(self._transport):
            if self._transport.installs:
                self._prepare(job, place, listener)
            sent = self._send(job, scope, place)
            running, limit = self._start(place), self._limits[1]
        outputs = StepOutputs(self._transport, self._root, place, scope, sent.carried, limit, job.scratch)
        with Link(RemoteProcess(self._transport, running, f"{place}/session"), self._silence) as link:
            self._bind(link)
            outputs.on_loss = link.cancel
            self.figures |= {"bootstrap_ms": _ms(began), "upload_bytes": sent.size}
            started = time.monotonic()
            try:
                there = _remote_job(job, place, scope, sent.carried, self._engines)
                end = link.ask(there, secrets, outputs.after_fetch(listener), pulse)
                outputs.artifacts(end.pop("left", []), Path(job.artifacts))
                end["ok"] = end["ok"] and not outputs.failed
            finally:
                self._worker = None
                self.figures["worker_ms"] = _ms(started) - outputs.ms
                self.output += outputs.fetcher.text(f"{place}/session/worker.log", _KEPT_OUTPUT)
                self.figures["fetch_bytes"] = outputs.fetcher.bytes
        return _with_problems(end, outputs.found)

    def _send(self, job: Job, scope: SandboxScope, place: str) -> bundle.Packed:
        """Pack and send the files of the job."""
        spools = {step: Path(job.spools) / f"{step}.arrow" for step in job.kept}
        make_folder(Path(job.scratch), private=True)
        with tempfile.TemporaryFile(dir=job.scratch) as file:
            packed = bundle.pack(file, self._root, scope, spools, self._limits[0])
            self._check_stopped()
            folders = [relative(self._root, p) for t in scope.targets for p in (t.parent, t) if p.is_dir()]
            unpack(self._transport, place, file, folders, self._wait_limit)
        self._check_stopped()
        return packed

    def _prepare(self, job: Job, place: str, listener: Listener) -> None:
        """Install missing packages before any project file is sent, and save the place for later runs."""
        make_folder(Path(job.scratch), private=True)
        with tempfile.TemporaryFile(dir=job.scratch) as file:
            bundle.pack_code(file)
            unpack(self._transport, place, file, (), self._wait_limit)
        python = probe_python(self._transport, place, self._wait_limit)
        if python.missing:
            self._install(place, python, listener)
            clear_place(self._transport, place, self._wait_limit)
            self._keep(listener)
        self._check_stopped()

    def _install(self, place: str, python: RemotePython, listener: Listener) -> None:
        """Install missing packages, and report it."""
        began = time.monotonic()
        listener({"event": "packages_missing", "missing": python.missing})
        done = install(self._transport, place, python, Project(self._root).wheels, self._limits[0], self._wait_limit)
        self.figures |= {"install_ms": _ms(began), "wheels_bytes": done.bytes}
        details = {"python": python.python, "duration_ms": self.figures["install_ms"], **asdict(done)}
        listener({"event": "packages_installed", **details})

    def _keep(self, listener: Listener) -> None:
        """Save the place for later runs, if the transport can; report a failure."""
        self._check_stopped()
        transport = self._transport
        if not isinstance(transport, Keeping):
            return
        try:
            patiently(transport.keep, KEEPING, self._check_stopped)
        except (Cut, Gone) as error:
            listener({"event": "diagnostic", **diagnostic("SBX031", reason=str(error)).to_json()})

    def _start(self, place: str) -> StartedWorker:
        """Start the worker; fails with SBX024 if a requirement is missing."""
        python, worker = launch_worker(self._transport, place, self._wait_limit)
        if python.missing:
            fail("SBX024", missing=python.missing)
        self._check_stopped()
        return worker


class StepOutputs:
    """Fetches the outputs of steps, each before its end is passed on; `ms` is the time taken, `found` the problems.

    A step with an output that cannot be fetched fails: `failed` is set, and `on_loss` is called to stop the others.
    """

    def __init__(
        self,
        transport: Transport,
        root: Path,
        place: str,
        scope: SandboxScope,
        carried: dict[str, str] | Any,  # noqa: ANN401
        limit: int | None,
        scratch: str,
    ) -> None:
        self.fetcher = Fetcher(transport, place, limit)
        self.found: list[Diagnostic] = []
        self.ms = 0.0
        self.failed = False
        self.on_loss: Callable[[], None] = lambda: None
        self._root, self._place, self._scratch = root, place, Path(scratch)
        self._targets = {relative(root, path): path for path in scope.targets}
        self._formats = scope.formats
        self._sent_digests = dict(carried)

    def after_fetch(self, listener: Listener) -> Listener:
        """Return a listener that passes on the end of a step only after its outputs are fetched."""

        def forward(event: Event) -> None:
            event = self._with_local_paths(event)
            if event["event"] != "step_complete":
                listener(event)
                return
            event.pop("spool", None)
            began = time.monotonic()
            failures = self._fetch_outputs(event)
            self.ms += _ms(began)
            listener(_failed(event, failures) if failures else event)
            if failures:
                self.failed = True
                self.on_loss()

        return forward

    def artifacts(self, left: list[Event], folder: Path) -> None:
        """Fetch the artifacts of steps; failures are added to `found`, as the run itself has ended."""
        files = [file for file in left if _is_below(file["path"])]
        began = time.monotonic()
        targets = {file["path"]: folder / file["path"] for file in files}
        failures = self.fetcher.fetch(f"{self._place}/session/artifacts", files, targets, PRIVATE_FILE)
        self.found += [item for problems in failures.values() for item in problems]
        self.ms += _ms(began)

    def _fetch_outputs(self, event: Event) -> dict[str, list[Diagnostic]]:
        """Fetch the outputs of a step; returns the problems, by path."""
        files = [
            file for file in event.get("files") or [] if not family_of(file["path"])
        ]  # store objects need no fetching
        there = f"{self._place}/{bundle.PROJECT}"
        failures = {file["path"]: [_unplanned(file["path"])] for file in files if not self._is_planned(file)}
        planned = list(filter(self._is_planned, files))
        folders = list(filter(_is_folder, planned))
        failures |= self._fetch_files(there, [file for file in planned if file not in folders])
        for folder in folders:
            failures |= self._fetch_folder(there, folder)
        if "handed" in event:
            failures |= self._fetch_database(event, event.pop("handed"))
        return failures

    def _is_planned(self, file: Event) -> bool:
        return file["path"].removesuffix("/") in self._targets

    def _fetch_files(self, there: str, files: list[Event]) -> dict[str, list[Diagnostic]]:
        """Fetch files to their targets; returns the problems, by path."""
        targets, refused = self._writable_paths(file["path"] for file in files)
        return refused | self.fetcher.fetch(there, [file for file in files if file["path"] in targets], targets)

    def _fetch_folder(self, there: str, folder: Event) -> dict[str, list[Diagnostic]]:
        """Publish a folder locally; returns the problems, by path."""
        problems = fetch_folder(self.fetcher, there, folder, self._root, self._scratch)
        return {folder["path"]: problems} if problems else {}

    def _fetch_database(self, event: Event, handed: Event) -> dict[str, list[Diagnostic]]:
        """Replace a database file if it is still the one that was sent; returns the problems, by path."""
        name = event["ledger"]["path"]
        if name not in self._targets:
            return {name: [_unplanned(name)]}
        targets, refused = self._writable_paths([name])
        if refused:
            return refused
        target = targets[name]
        here = inspect_file(self._root, name).sha256 if target.exists() else None
        if here != self._sent_digests.get(name):
            return {name: [diagnostic("SBX014", path=name)]}
        if failures := self.fetcher.fetch(f"{self._place}/handover", [handed], {handed["path"]: target}):
            return {name: failures[handed["path"]]}
        self._sent_digests[name] = handed["sha256"]
        event["ledger"] = inspect_ledger(self._root, name)
        return {}

    def _writable_paths(self, names: Iterable[str]) -> tuple[dict[str, Path], dict[str, list[Diagnostic]]]:
        """Return the current real paths of planned targets, and the problems of those that must not be written."""
        places, refused = {}, {}
        for name in names:
            path = self._targets[name]
            try:
                places[name] = PathPolicy().writable(self._root, path, self._formats.get(path))
            except OsirisError as error:
                refused[name] = list(error.diagnostics)
        return places, refused

    def _with_local_paths(self, event: Event) -> Event:
        """Return an event with remote paths replaced by those of the project."""
        text, there = json.dumps(event), f"{self._place}/{bundle.PROJECT}"
        here = json.dumps(str(self._root))[1:-1]
        return dict(json.loads(text.replace(there, here))) if there in text else event


def _remote_job(job: Job, place: str, scope: SandboxScope, carried: Any, engines: dict[str, str]) -> Job:  # noqa: ANN401
    """Return the remote job; with database files to write, steps run one at a time, so that copies are consistent."""
    return replace(
        job,
        root=f"{place}/{bundle.PROJECT}",
        scratch=f"{place}/scratch",
        artifacts=f"{place}/session/artifacts",
        spools=f"{place}/{bundle.SPOOLS}",
        handover=f"{place}/handover",
        lock=None,
        parallel=1 if scope.databases else job.parallel,
        carried=dict(carried),
        engines=engines,
        keep=[],
    )


def _failed(event: Event, missed: dict[str, list[Diagnostic]]) -> Event:
    """Return a failed end for a step with outputs that could not be fetched, instead of its remote end."""
    fetched = [file["path"] for file in event.get("files") or [] if file["path"] not in missed]
    diagnostics = [item for items in missed.values() for item in items]
    if fetched:
        names, rest = ", ".join(fetched), ", ".join(missed)
        diagnostics.append(diagnostic("SBX028", step=event["step"], fetched=names, lost=rest))
    return {
        "event": "step_failed",
        "step": event["step"],
        "duration_ms": event["duration_ms"],
        "rows": event["rows_out"],
        "attempts": event["attempts"],
        "fetched": fetched,
        "lost": list(missed),
        "diagnostics": [item.to_json() for item in diagnostics],
    }


def _unplanned(path: str) -> Diagnostic:
    return diagnostic("SBX013", path=path, where="on the way back: no step writes it")


def _is_below(path: str) -> bool:
    return not path.startswith("/") and ".." not in Path(path).parts


def _with_problems(end: dict[str, JsonValue], problems: list[Diagnostic]) -> dict[str, JsonValue]:
    if not problems:
        return end
    return {**end, "ok": False, "diagnostics": [*end["diagnostics"], *(item.to_json() for item in problems)]}


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 3)


class Sandboxed(Remote):
    """A remote worker in a sandbox with a maximum lifetime."""

    def __init__(self, sandbox: E2B, root: Path, **words: Any) -> None:  # noqa: ANN401 - those of Remote
        super().__init__(sandbox, root, **words)
        self._sandbox = sandbox

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Run one job, as `Remote.ask`; fails with SBX029 if the sandbox's lifetime ended it."""
        self._sandbox.mark["session"] = Path(job.scratch).name
        try:
            return super().ask(job, secrets, listener, pulse)
        except (WorkerDied, OsirisError):
            self._sandbox.check_life()
            raise


def _is_folder(file: Event) -> bool:
    return bool(file["path"].endswith("/"))
