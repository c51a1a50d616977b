"""Runs a worker in a bubblewrap sandbox, which can read only what one job needs and change only what it writes.

The sandbox has its own user, process, host name and IPC namespaces, no network unless allowed, no inherited
environment, no capabilities and no way to gain any, even when started by root, and a seccomp filter. The worker itself
is the same as for every other target.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.distribution import installed_entries
from osiris.durable import remove
from osiris.errors import fail
from osiris.family_spec import COMPONENTS, FAMILIES
from osiris.files import make_private
from osiris.kernels import SWITCH
from osiris.path_policy import PathPolicy
from osiris.runner.adapter import FIXED, Link, WorkerDied, start_process, start_worker
from osiris.runner.remote.sandbox_scope import scope_of
from osiris.runner.remote.seccomp import filter_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.remote.sandbox_scope import SandboxScope

PROGRAM = "bwrap"
_APART = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL", "--new-session", "--die-with-parent"),
)
_READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
"""Parts of /proc that control the system, and that uid 0 may write even without capabilities."""

_HIDDEN_PROC = (
    *(
        "acpi",
        "asound",
        "driver",
        "dynamic_debug",
        "iomem",
        "ioports",
        "kallsyms",
        "kcore",
        "key-users",
        "keys",
        "kmsg",
    ),
    *("kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "mtrr", "pagetypeinfo", "sched_debug", "scsi"),
    *("slabinfo", "timer_list", "timer_stats", "tty", "vmallocinfo"),
)
"""Parts of /proc that describe the system and other processes."""

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "ca-certificates", "localtime")
_OF_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "services", "gai.conf")
_OF_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_OF_LIBRARIES = "LD_LIBRARY_PATH"


_OURS = "osiris."


@contextmanager
def sandboxed_worker(job: Job, secrets: Secrets, *, network: bool = False) -> Iterator[Link]:
    """Start a worker in a sandbox created for one job.

    Fails with SBX001 without bubblewrap, SBX002 where it does not work, SBX003 if the job needs the network and may not
    use it, SBX004 if it writes into the root folder, which cannot be hidden, and SBX030 as `_protect_project`.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        fail("SBX001")
    scope = scope_of(job, secrets).allowed(Path(job.root), PathPolicy.of(job.paths))
    check_network(job, scope, allowed=network)
    _protect_project(job, scope)
    new_folders = _make_private(job, scope)
    try:
        with _filter() as (words, passed):
            command = [program, *options(job, scope), *words, "--", *_worker()]
            with _started(command, passed) as link:
                yield link
    finally:
        for text in (job.artifacts, job.scratch, job.spools):
            if text:
                _remove_special_files(Path(text))
        for folder in reversed(new_folders):
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def worker_for(job: Job, secrets: Secrets, *, root: Path, network: bool) -> Iterator[Link]:
    """Start a worker for a job outside of a run: sandboxed if it loads third-party code, else a plain one.

    Fails as `sandboxed_worker`; `network` is whether the sandbox may use it.
    """
    if not loads_third_party_code(job):
        with start_worker(root) as link:
            yield link
        return
    with sandboxed_worker(job, secrets, network=network) as link:
        yield link


def _protect_project(job: Job, scope: SandboxScope) -> None:
    """Fail with SBX030 where third-party code could write the project folder, or one that contains it."""
    around = [target.parent for target in scope.targets if Path(job.root).is_relative_to(target.parent)]
    if around and loads_third_party_code(job):
        fail("SBX030", path=around[0])


def check_network(job: Job, scope: SandboxScope, *, allowed: bool) -> None:
    """Fail with SBX003 if a job needs the network and may not use it."""
    if scope.network and not allowed:
        used = {*(step["connection"] for step in job.steps if step["connection"]), *job.uses}
        fail("SBX003", connections=", ".join(sorted(used)) or job.discover["source"])


def options(job: Job, scope: SandboxScope) -> list[str]:
    """Return the options of bubblewrap for a job; its writable folders must exist."""
    return [
        *_APART,
        *(() if scope.network else ("--unshare-net",)),
        *_environment(),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108  the sandbox's own
        *_restricted_proc(),
        *_system(network=scope.network),
        *_writable(job, scope),
        *_read_only(_python(Path(job.root))),
        *_read_only(path for path in scope.published if not _is_inside(path, scope.targets)),
        *_read_only(path for path in scope.reads if path.parent not in _folders(scope) and not _is_bound(path, scope)),
        *("--chdir", job.root),
    ]


@contextmanager
def _filter() -> Iterator[tuple[Sequence[str], Sequence[int]]]:
    """Provide bubblewrap's options for the seccomp filter, and the file descriptors they need.

    On a machine type without a filter, at least further user namespaces are disabled.
    """
    content = filter_of()
    if content is None:
        yield ("--disable-userns",), ()
        return
    descriptor = os.memfd_create("filter")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield ("--seccomp", str(descriptor)), (descriptor,)
    finally:
        os.close(descriptor)


def _remove_special_files(folder: Path) -> None:
    """Remove what is neither a file nor a folder, so that nobody follows a link made by the job."""
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                remove(path)


@contextmanager
def _started(command: list[str], passed: Sequence[int]) -> Iterator[Link]:
    with Link(start_process(command, env={}, pass_fds=passed)) as link:
        try:
            yield link
        except WorkerDied:
            output = link.output.decode("utf-8", "replace")
            if output.startswith(f"{PROGRAM}: "):
                fail("SBX002", reason=output.strip().splitlines()[-1].removeprefix(f"{PROGRAM}: "))
            raise


def _restricted_proc() -> Iterator[str]:
    for path in (Path("/proc", name) for name in _READ_ONLY_PROC):
        if path.exists():
            yield from ("--ro-bind", str(path), str(path))
    for path in (Path("/proc", name) for name in _HIDDEN_PROC):
        if path.exists():
            yield from ("--tmpfs", str(path)) if path.is_dir() else ("--ro-bind", os.devnull, str(path))


def _worker() -> list[str]:
    return [sys.executable, "-I", "-m", "osiris.runner.worker"]


def _environment() -> list[str]:
    variables = {**FIXED, "PATH": os.defpath, "HOME": "/tmp"}  # noqa: S108  the sandbox's own
    variables |= {name: os.environ[name] for name in (*_OF_TRUST, _OF_LIBRARIES, SWITCH) if name in os.environ}
    return ["--clearenv", *(word for name, value in variables.items() for word in ("--setenv", name, value))]


def _system(*, network: bool) -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for folder in (Path("/", name) for name in _SYSTEM):
        if folder.is_symlink():
            yield from ("--symlink", str(folder.readlink()), str(folder))
        elif folder.is_dir():
            yield from ("--ro-bind", str(folder), str(folder))
    names = (*_CONFIGURATION, *(_OF_NETWORK if network else ()))
    yield from _read_only(Path("/etc", name) for name in names)
    trusted = [os.environ.get(name, "") for name in _OF_TRUST]
    libraries = os.environ.get(_OF_LIBRARIES, "").split(os.pathsep)
    yield from _read_only(Path(text) for text in (*trusted, *libraries) if text.startswith("/"))


def _python(root: Path) -> list[Path]:
    """Return the folders of Python and its packages, without the project itself."""
    places = [Path(sys.prefix), Path(sys.base_prefix), *map(Path, sys.path)]
    existing = [place for place in dict.fromkeys(places) if place.is_absolute() and place.exists() and place != root]
    return [place for place in existing if not place.is_relative_to("/usr")]


def _read_only(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind-try", str(path), str(path))


def _writable(job: Job, scope: SandboxScope) -> Iterator[str]:
    """Bind what the job may change; deeper folders last, as a parent's other content may be hidden."""
    yield from ("--dir", job.root)
    for folder in _folders(scope):
        yield from ("--bind", str(folder), str(folder))
        if Path(job.root).is_relative_to(folder):
            yield from _hide_others(folder, {*scope.reads, *scope.targets})
    for text in filter(None, (job.artifacts, job.scratch, job.spools, job.lock)):
        yield from ("--bind", text, text)


def _is_bound(path: Path, scope: SandboxScope) -> bool:
    return _is_inside(path, scope.published) or _is_inside(path, scope.targets)


def _is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path is one of these folders or lies in one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _folders(scope: SandboxScope) -> list[Path]:
    """Return the existing folders of outputs, the shortest path first."""
    return sorted(path for path in {target.parent for target in scope.targets} if path.is_dir())


def _hide_others(folder: Path, needed: set[Path]) -> Iterator[str]:
    """Hide the other content of a folder that contains the project: secrets, sessions, sibling projects."""
    if folder == Path("/"):
        fail("SBX004", path=folder)
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or entry in needed:
            continue
        yield from ("--tmpfs", str(entry)) if entry.is_dir() else ("--ro-bind", os.devnull, str(entry))


def _make_private(job: Job, scope: SandboxScope) -> list[Path]:
    """Create what is to be bound, and return the new folders that the job does not own, outer ones first."""
    if job.lock:
        Path(job.lock).touch(0o600)
    for text in (job.artifacts, job.scratch, job.spools):
        if text:
            make_private(Path(text))
    missing = [path for folder in scope.folders for path in (folder, *folder.parents) if not path.exists()]
    for folder in scope.folders:
        with suppress(OSError):  # the step reports why
            folder.mkdir(parents=True, exist_ok=True)
    return sorted({*missing, *([Path(job.spools)] if job.spools else [])})


def loads_third_party_code(job: Job) -> bool:
    """Return whether a job loads a component or family that is not part of Osiris."""
    references = [*(step["connection"] or "" for step in job.steps), *job.uses, str(job.discover.get("source", ""))]
    components = {str(step["component"]) for step in job.steps}
    families = {reference.removeprefix("@").partition(".")[0] for reference in references}
    families |= {name.partition(".")[0] for name in components}
    return bool(components & _third_party(COMPONENTS) or families & _third_party(FAMILIES))


def _third_party(group: str) -> set[str]:
    return {name for _group, name, target, _owner in installed_entries([group]) if not target.startswith(_OURS)}
