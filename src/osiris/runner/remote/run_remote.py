"""Runs a job at the other end of a transport: sends what it needs, follows it, brings back what it wrote.

All targets share this; `transport.py` says what differs. What is asked before a run, such as the schemas of sources, is
answered by a worker of this machine: the sandbox is made for the run alone.
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
from osiris.runner.adapter import Boxed, Link, WorkerDied
from osiris.runner.remote import bundle
from osiris.runner.remote.bootstrap import Patience, begin, empty, look, unpack
from osiris.runner.remote.bwrap import worker_for
from osiris.runner.remote.fetch import Fetcher, fetch_folder
from osiris.runner.remote.install import install
from osiris.runner.remote.remote_process import Relay
from osiris.runner.remote.sandbox_scope import Reach, reach_of
from osiris.runner.transport import KEEPING, Cut, Gone, Keeping, patiently, renewing
from osiris.urls import family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.runner.adapter import Listener, Worker
    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.remote.bootstrap import Begun, Found
    from osiris.runner.remote.e2b import E2B
    from osiris.runner.transport import Transport

    Event = dict[str, Any]

_KEPT_OUTPUT = 1 << 20
SILENCE = 30.0
"""Seconds without a sign of life after which the other end is given up."""


class Remote:
    """The worker of a run, at the other end of a transport; to be used in a `with`.

    `upload` and `fetch` are the most bytes that may go each way. `engines` are the versions that must be there.
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
        self._patience = Patience(silence, self._check_stopped)
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
        """Have one job done, as `Link.ask`; whatever a step wrote is in its place before its end is told.

        Fails with SBX010 to SBX015 and SBX024 to SBX027, with what the transport says, and raises WorkerDied.
        """
        if job.kind != "run":
            here = Boxed(partial(worker_for, root=self._root, network=True))
            self._bind(here)
            return here.ask(job, secrets, listener, pulse)
        began = time.monotonic()
        reach = reach_of(job, secrets)
        bundle.refuse_outside(self._root, reach, self._transport.name)
        try:
            return self._run(job, secrets, reach, listener, pulse)
        except (Cut, Gone) as error:
            fail("SBX015", what="the sandbox", done="reached", reason=str(error) or type(error).__name__)
        finally:
            spent = (time.monotonic() - began) * 1000 - self.figures.pop("worker_ms", 0.0)
            self.figures["adapter_overhead_ms"] = round(max(spent, 0.0), 3)

    def cancel(self) -> None:
        """Tell the worker to stop, now or as soon as there is one. Safe in a signal handler."""
        self._stopped = self._stopped or "cancelled"
        if self._worker:
            self._worker.cancel()

    def kill(self, why: str | None = None) -> None:
        """End the worker at once, if there is one."""
        self._stopped = why or "killed"
        if self._worker:
            self._worker.kill(why)

    def _bind(self, worker: Worker) -> None:
        self._worker = worker
        self._check_stopped()

    def _check_stopped(self) -> None:
        """Raise WorkerDied if somebody asked to stop while there was no worker."""
        if self._stopped:
            raise WorkerDied(self._stopped)

    def _run(
        self, job: Job, secrets: Secrets, reach: Reach, listener: Listener, pulse: Listener | None
    ) -> dict[str, JsonValue]:
        began = time.monotonic()
        self._stack.callback(self._transport.close)
        place = self._transport.open(reach.hosts if bool(reach.hosts) == reach.network else None)
        with renewing(self._transport):
            if self._transport.installs:
                self._prepare(job, place, listener)
            sent = self._send(job, reach, place)
            running, limit = self._start(place), self._limits[1]
        returning = Returning(self._transport, self._root, place, reach, sent.carried, limit, job.scratch)
        with Link(Relay(self._transport, running, f"{place}/session"), self._silence) as link:
            self._bind(link)
            returning.on_loss = link.cancel
            self.figures |= {"bootstrap_ms": _ms(began), "upload_bytes": sent.size}
            started = time.monotonic()
            try:
                there = _moved(job, place, reach, sent.carried, self._engines)
                end = link.ask(there, secrets, returning.telling(listener), pulse)
                returning.artifacts(end.pop("left", []), Path(job.artifacts))
                end["ok"] = end["ok"] and not returning.failed
            finally:
                self._worker = None
                self.figures["worker_ms"] = _ms(started) - returning.ms
                self.output += returning.fetcher.text(f"{place}/session/worker.log", _KEPT_OUTPUT)
                self.figures["fetch_bytes"] = returning.fetcher.bytes
        return _with(end, returning.found)

    def _send(self, job: Job, reach: Reach, place: str) -> bundle.Packed:
        """Pack and send what the job needs."""
        spools = {step: Path(job.spools) / f"{step}.arrow" for step in job.kept}
        make_folder(Path(job.scratch), private=True)
        with tempfile.TemporaryFile(dir=job.scratch) as file:
            packed = bundle.pack(file, self._root, reach, spools, self._limits[0])
            self._check_stopped()
            folders = [relative(self._root, p) for t in reach.targets for p in (t.parent, t) if p.is_dir()]
            unpack(self._transport, place, file, folders, self._patience)
        self._check_stopped()
        return packed

    def _prepare(self, job: Job, place: str, listener: Listener) -> None:
        """Install what the worker would miss, before anything of the project is there, and have that kept."""
        make_folder(Path(job.scratch), private=True)
        with tempfile.TemporaryFile(dir=job.scratch) as file:
            bundle.pack_code(file)
            unpack(self._transport, place, file, (), self._patience)
        found = look(self._transport, place, self._patience)
        if found.missing:
            self._install(place, found, listener)
            empty(self._transport, place, self._patience)
            self._keep(listener)
        self._check_stopped()

    def _install(self, place: str, found: Found, listener: Listener) -> None:
        """Install what the worker misses, and tell of it."""
        began = time.monotonic()
        listener({"event": "packages_missing", "missing": found.missing})
        done = install(self._transport, place, found, Project(self._root).wheels, self._limits[0], self._patience)
        self.figures |= {"install_ms": _ms(began), "wheels_bytes": done.bytes}
        told = {"python": found.python, "duration_ms": self.figures["install_ms"], **asdict(done)}
        listener({"event": "packages_installed", **told})

    def _keep(self, listener: Listener) -> None:
        """Have the place kept for later runs, where that is possible; what stands in the way is told."""
        self._check_stopped()
        transport = self._transport
        if not isinstance(transport, Keeping):
            return
        try:
            patiently(transport.keep, KEEPING, self._check_stopped)
        except (Cut, Gone) as error:
            listener({"event": "diagnostic", **diagnostic("SBX031", reason=str(error)).to_json()})

    def _start(self, place: str) -> Begun:
        """Start the worker; fails with SBX024 if it misses something."""
        found, worker = begin(self._transport, place, self._patience)
        if found.missing:
            fail("SBX024", missing=found.missing)
        self._check_stopped()
        return worker


class Returning:
    """Brings back what steps wrote, each before its end is told; `ms` is the time that took, `found` what stayed.

    A step of which something cannot be brought back has `failed`, and `on_loss` is called to stop the others.
    """

    def __init__(
        self,
        transport: Transport,
        root: Path,
        place: str,
        reach: Reach,
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
        self._targets = {relative(root, path): path for path in reach.targets}
        self._formats = reach.formats
        self._known = dict(carried)

    def telling(self, listener: Listener) -> Listener:
        """Return a listener that hears of the end of a step only once all that it wrote is here."""

        def tell(event: Event) -> None:
            event = self._at_home(event)
            if event["event"] != "step_complete":
                listener(event)
                return
            event.pop("spool", None)
            began = time.monotonic()
            lost = self._bring(event)
            self.ms += _ms(began)
            listener(_failed(event, lost) if lost else event)
            if lost:
                self.failed = True
                self.on_loss()

        return tell

    def artifacts(self, left: list[Event], folder: Path) -> None:
        """Bring back what steps left behind; what cannot be had is noted, as the run itself has ended."""
        files = [file for file in left if _is_below(file["path"])]
        began = time.monotonic()
        targets = {file["path"]: folder / file["path"] for file in files}
        lost = self.fetcher.fetch(f"{self._place}/session/artifacts", files, targets, PRIVATE_FILE)
        self.found += [item for found in lost.values() for item in found]
        self.ms += _ms(began)

    def _bring(self, event: Event) -> dict[str, list[Diagnostic]]:
        """Bring back what a step wrote; returns why something stayed there, by path."""
        files = [file for file in event.get("files") or [] if not family_of(file["path"])]  # objects of stores stay
        there = f"{self._place}/{bundle.PROJECT}"
        lost = {file["path"]: [_unplanned(file["path"])] for file in files if not self._is_planned(file)}
        planned = list(filter(self._is_planned, files))
        folders = list(filter(_is_folder, planned))
        lost |= self._bring_files(there, [file for file in planned if file not in folders])
        for folder in folders:
            lost |= self._bring_folder(there, folder)
        if "handed" in event:
            lost |= self._bring_database(event, event.pop("handed"))
        return lost

    def _is_planned(self, file: Event) -> bool:
        return file["path"].removesuffix("/") in self._targets

    def _bring_files(self, there: str, files: list[Event]) -> dict[str, list[Diagnostic]]:
        """Put files in their places; returns why some stayed there."""
        targets, refused = self._places(file["path"] for file in files)
        return refused | self.fetcher.fetch(there, [file for file in files if file["path"] in targets], targets)

    def _bring_folder(self, there: str, folder: Event) -> dict[str, list[Diagnostic]]:
        """Publish a folder here; returns why it stayed there."""
        found = fetch_folder(self.fetcher, there, folder, self._root, self._scratch)
        return {folder["path"]: found} if found else {}

    def _bring_database(self, event: Event, handed: Event) -> dict[str, list[Diagnostic]]:
        """Put a database in its place, if that is still the one that was sent; returns why it stayed there."""
        name = event["ledger"]["path"]
        if name not in self._targets:
            return {name: [_unplanned(name)]}
        targets, refused = self._places([name])
        if refused:
            return refused
        target = targets[name]
        here = inspect_file(self._root, name).sha256 if target.exists() else None
        if here != self._known.get(name):
            return {name: [diagnostic("SBX014", path=name)]}
        if lost := self.fetcher.fetch(f"{self._place}/handover", [handed], {handed["path"]: target}):
            return {name: lost[handed["path"]]}
        self._known[name] = handed["sha256"]
        event["ledger"] = inspect_ledger(self._root, name)
        return {}

    def _places(self, names: Iterable[str]) -> tuple[dict[str, Path], dict[str, list[Diagnostic]]]:
        """Return the real paths of planned targets as they are now, and why those are refused that may not be used."""
        places, refused = {}, {}
        for name in names:
            path = self._targets[name]
            try:
                places[name] = PathPolicy().writable(self._root, path, self._formats.get(path))
            except OsirisError as error:
                refused[name] = list(error.diagnostics)
        return places, refused

    def _at_home(self, event: Event) -> Event:
        """Return an event in which paths of the copy are those of the project."""
        text, there = json.dumps(event), f"{self._place}/{bundle.PROJECT}"
        here = json.dumps(str(self._root))[1:-1]
        return dict(json.loads(text.replace(there, here))) if there in text else event


def _moved(job: Job, place: str, reach: Reach, carried: Any, engines: dict[str, str]) -> Job:  # noqa: ANN401
    """Return the job as it is there; steps that write a database in a file run one by one, so that copies are whole."""
    return replace(
        job,
        root=f"{place}/{bundle.PROJECT}",
        scratch=f"{place}/scratch",
        artifacts=f"{place}/session/artifacts",
        spools=f"{place}/{bundle.SPOOLS}",
        handover=f"{place}/handover",
        lock=None,
        parallel=1 if reach.databases else job.parallel,
        carried=dict(carried),
        engines=engines,
    )


def _failed(event: Event, lost: dict[str, list[Diagnostic]]) -> Event:
    """Return the end of a step of which something stayed in the sandbox, instead of the one that was told there."""
    fetched = [file["path"] for file in event.get("files") or [] if file["path"] not in lost]
    found = [item for items in lost.values() for item in items]
    if fetched:
        found.append(diagnostic("SBX028", step=event["step"], fetched=", ".join(fetched), lost=", ".join(lost)))
    return {
        "event": "step_failed",
        "step": event["step"],
        "duration_ms": event["duration_ms"],
        "rows": event["rows_out"],
        "attempts": event["attempts"],
        "fetched": fetched,
        "lost": list(lost),
        "diagnostics": [item.to_json() for item in found],
    }


def _unplanned(path: str) -> Diagnostic:
    return diagnostic("SBX013", path=path, where="on the way back: no step writes it")


def _is_below(path: str) -> bool:
    return not path.startswith("/") and ".." not in Path(path).parts


def _with(end: dict[str, JsonValue], found: list[Diagnostic]) -> dict[str, JsonValue]:
    if not found:
        return end
    return {**end, "ok": False, "diagnostics": [*end["diagnostics"], *(item.to_json() for item in found)]}


def _ms(since: float) -> float:
    return round((time.monotonic() - since) * 1000, 3)


class Sandboxed(Remote):
    """A remote worker in a sandbox that lives no longer than it may."""

    def __init__(self, sandbox: E2B, root: Path, **words: Any) -> None:  # noqa: ANN401 - those of Remote
        super().__init__(sandbox, root, **words)
        self._sandbox = sandbox

    def ask(
        self, job: Job, secrets: Secrets, listener: Listener, pulse: Listener | None = None
    ) -> dict[str, JsonValue]:
        """Have one job done, as `Remote.ask`; fails with SBX029 where it ended with the sandbox's life."""
        self._sandbox.mark["session"] = Path(job.scratch).name
        try:
            return super().ask(job, secrets, listener, pulse)
        except (WorkerDied, OsirisError):
            self._sandbox.check_life()
            raise


def _is_folder(file: Event) -> bool:
    return bool(file["path"].endswith("/"))
