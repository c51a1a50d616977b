"""Workers by `run.target`: built-in targets and those installed by packages."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from osiris.config import TARGETS
from osiris.runner.adapter import PerJobWorker, start_worker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.config import Config
    from osiris.model import JsonValue
    from osiris.project import Project
    from osiris.runner.adapter import Worker
    from osiris.runner.protocol import Secrets
    from osiris.runner.transport import Transport


def target_of(config: Config, *, replay: bool = False) -> str:
    """Return the target of a run; a replay always runs locally."""
    return "local" if replay else str(config.get("run.target"))


def open_worker(
    target: str, project: Project, config: Config, environ: Mapping[str, str], engines: Mapping[str, str]
) -> AbstractContextManager[Worker]:
    """Return the worker of a target as a context manager.

    `environ` has the keys of services; `engines` are the versions required where the worker runs.
    """
    if target == "local":
        return start_worker(project.root)
    if target == "bwrap":
        return _bwrap(config)
    limits = {"upload": config.get("run.remote.upload_limit"), "fetch": config.get("run.remote.fetch_limit")}
    if target == "e2b":
        from osiris.runner.remote.e2b import open_transport
        from osiris.runner.remote.run_remote import Sandboxed

        return Sandboxed(open_transport(config, project.root, environ), project.root, engines=dict(engines), **limits)
    from osiris.runner.remote.run_remote import Remote

    return Remote(_transport(target, project.root, environ), project.root, engines=dict(engines), **limits)


def _transport(target: str, root: Path, environ: Mapping[str, str]) -> Transport:
    """Return the transport of a package; fails with SBX032 if its code does, or if several packages have the name."""
    from osiris.distribution import NotLoadedError, load_foreign, registered
    from osiris.errors import fail

    entry, *others = registered(TARGETS, target)
    if others:
        several = ", ".join(each.value for each in (entry, *others))
        fail("SBX032", target=target, reason=f"several packages register it: {several}")
    try:
        transport: Transport = load_foreign(lambda: entry.load()(root, environ))
    except NotLoadedError as error:
        fail("SBX032", target=target, reason=error)
    return transport


def query_worker(project: Project, config: Config) -> AbstractContextManager[Worker]:
    """Return the worker for jobs outside of a run; third-party code is sandboxed as `run.target` requires."""
    target = target_of(config)
    if target == "local":
        return start_worker(project.root)
    from osiris.runner.remote.bwrap import worker_for

    network = target != "bwrap" or _may_use_network(config)
    return nullcontext(PerJobWorker(partial(worker_for, root=project.root, network=network)))


def check_target(config: Config, project: Project, steps: Sequence[Mapping[str, JsonValue]], secrets: Secrets) -> None:
    """Fail with SBX003 if the target would reject a run of these steps because they need the network."""
    if target_of(config) != "bwrap":
        return
    from osiris.runner.limits import limits_of
    from osiris.runner.protocol import Job
    from osiris.runner.remote.bwrap import check_network
    from osiris.runner.remote.sandbox_scope import scope_of

    root = str(project.root)
    job = Job("run", root, scratch="", artifacts="", limits=limits_of(1, 1), steps=[dict(step) for step in steps])
    check_network(job, scope_of(job, secrets), allowed=_may_use_network(config))


def _may_use_network(config: Config) -> bool:
    return bool(config.get("run.bwrap.network") == "allow")


def _bwrap(config: Config) -> AbstractContextManager[Worker]:
    from osiris.runner.remote.bwrap import sandboxed_worker

    return nullcontext(PerJobWorker(partial(sandboxed_worker, network=_may_use_network(config))))
