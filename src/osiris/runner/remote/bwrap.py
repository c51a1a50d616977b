"""A worker in a bubblewrap sandbox: of this machine it sees what one job needs, and changes what that job writes.

It has its own users, processes, host name and shared memory, no network unless that is allowed, no environment, and no
right of root, whoever starts it: no capability, none to be gained, and no system call by which it could leave. It is
the worker of every other target, started by another program.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
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
from osiris.runner.adapter import FIXED, Link, WorkerDied, start_worker
from osiris.runner.remote.sandbox_scope import reach_of
from osiris.runner.remote.seccomp import filter_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from osiris.runner.protocol import Job, Secrets
    from osiris.runner.remote.sandbox_scope import Reach

PROGRAM = "bwrap"
_APART = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL", "--new-session", "--die-with-parent"),
)
_READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")
"""What the system takes orders from, and lets the user write that it has for root, capabilities or not."""

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
"""What the system tells of itself and of all processes."""

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl", "ca-certificates", "localtime")
_OF_NETWORK = ("resolv.conf", "hosts", "nsswitch.conf", "services", "gai.conf")
_OF_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_OF_LIBRARIES = "LD_LIBRARY_PATH"


_OURS = "osiris."


@contextmanager
def boxed_worker(job: Job, secrets: Secrets, *, network: bool = False) -> Iterator[Link]:
    """Give a worker in a sandbox that is made for one job.

    Fails with SBX001 without bubblewrap, SBX002 where it does not work, SBX003 if the job needs the network and may not
    have it, SBX004 if it writes where nothing would be hidden.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        fail("SBX001")
    reach = reach_of(job, secrets).allowed(Path(job.root), PathPolicy.of(job.paths))
    check_network(job, reach, allowed=network)
    _refuse_strangers_in_project(job, reach)
    made = _make_private(job, reach)
    try:
        with _filter() as (words, passed):
            command = [program, *options(job, reach), *words, "--", *_worker()]
            with _started(command, passed) as link:
                yield link
    finally:
        for text in (job.artifacts, job.scratch, job.spools):
            if text:
                _remove_odd(Path(text))
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def worker_for(job: Job, secrets: Secrets, *, root: Path, network: bool) -> Iterator[Link]:
    """Give a worker for what is asked outside of a run: in a sandbox if the job loads code of others, else a plain one.

    Fails as `boxed_worker`; `network` is whether it may have that.
    """
    if not loads_strangers(job):
        with start_worker(root) as link:
            yield link
        return
    with boxed_worker(job, secrets, network=network) as link:
        yield link


def _refuse_strangers_in_project(job: Job, reach: Reach) -> None:
    """Fail with SBX030 where code of others would get the folder of the project for writing, or one that holds it."""
    around = [target.parent for target in reach.targets if Path(job.root).is_relative_to(target.parent)]
    if around and loads_strangers(job):
        fail("SBX030", path=around[0])


def check_network(job: Job, reach: Reach, *, allowed: bool) -> None:
    """Fail with SBX003 if a job needs the network and may not have it."""
    if reach.network and not allowed:
        used = {*(step["connection"] for step in job.steps if step["connection"]), *job.uses}
        fail("SBX003", connections=", ".join(sorted(used)) or job.discover["source"])


def options(job: Job, reach: Reach) -> list[str]:
    """Return the options of bubblewrap for a job; folders that it may change must be there."""
    return [
        *_APART,
        *(() if reach.network else ("--unshare-net",)),
        *_environment(),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),  # noqa: S108  the sandbox's own
        *_closed_proc(),
        *_system(network=reach.network),
        *_changed(job, reach),
        *_read_only(_python(Path(job.root))),
        *_read_only(path for path in reach.published if not _lies_in(path, reach.targets)),
        *_read_only(path for path in reach.reads if path.parent not in _folders(reach) and not _is_bound(path, reach)),
        *("--chdir", job.root),
    ]


@contextmanager
def _filter() -> Iterator[tuple[Sequence[str], Sequence[int]]]:
    """Give the options by which bubblewrap applies the filter of system calls, and the descriptors that they need.

    On a machine whose calls are not known, at least no further user namespace can be made.
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


def _remove_odd(folder: Path) -> None:
    """Remove what is neither a file nor a folder from what the job owned: who looks there follows no link of it."""
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                remove(path)


@contextmanager
def _started(command: list[str], passed: Sequence[int]) -> Iterator[Link]:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(  # type: ignore[call-overload]
        command, env={}, bufsize=0, start_new_session=True, pass_fds=passed, **pipes
    )
    with Link(process) as link:
        try:
            yield link
        except WorkerDied:
            told = link.output.decode("utf-8", "replace")
            if told.startswith(f"{PROGRAM}: "):
                fail("SBX002", reason=told.strip().splitlines()[-1].removeprefix(f"{PROGRAM}: "))
            raise


def _closed_proc() -> Iterator[str]:
    for path in (Path("/proc", name) for name in _READ_ONLY_PROC):
        if path.exists():
            yield from ("--ro-bind", str(path), str(path))
    for path in (Path("/proc", name) for name in _HIDDEN_PROC):
        if path.exists():
            yield from ("--tmpfs", str(path)) if path.is_dir() else ("--ro-bind", os.devnull, str(path))


def _worker() -> list[str]:
    return [sys.executable, "-I", "-m", "osiris.runner.worker"]


def _environment() -> list[str]:
    given = {**FIXED, "PATH": os.defpath, "HOME": "/tmp"}  # noqa: S108  the sandbox's own
    given |= {name: os.environ[name] for name in (*_OF_TRUST, _OF_LIBRARIES, SWITCH) if name in os.environ}
    return ["--clearenv", *(word for name, value in given.items() for word in ("--setenv", name, value))]


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
    """Return where Python and its packages lie; the project itself is no package."""
    places = [Path(sys.prefix), Path(sys.base_prefix), *map(Path, sys.path)]
    seen = [place for place in dict.fromkeys(places) if place.is_absolute() and place.exists() and place != root]
    return [place for place in seen if not place.is_relative_to("/usr")]


def _read_only(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        yield from ("--ro-bind-try", str(path), str(path))


def _changed(job: Job, reach: Reach) -> Iterator[str]:
    """Bind what the job may change; the deeper folder last, as it may lie in one whose other content is hidden."""
    yield from ("--dir", job.root)
    for folder in _folders(reach):
        yield from ("--bind", str(folder), str(folder))
        if Path(job.root).is_relative_to(folder):
            yield from _hidden(folder, {*reach.reads, *reach.targets})
    for text in filter(None, (job.artifacts, job.scratch, job.spools, job.lock)):
        yield from ("--bind", text, text)


def _is_bound(path: Path, reach: Reach) -> bool:
    return _lies_in(path, reach.published) or _lies_in(path, reach.targets)


def _lies_in(path: Path, folders: Iterable[Path]) -> bool:
    """Tell whether a path is one of some folders, or lies in one; what lies in a target is bound with that."""
    return any(path.is_relative_to(folder) for folder in folders)


def _folders(reach: Reach) -> list[Path]:
    """Return the folders of outputs that are there, the shortest path first."""
    return sorted(path for path in {target.parent for target in reach.targets} if path.is_dir())


def _hidden(folder: Path, needed: set[Path]) -> Iterator[str]:
    """Hide what else lies in a folder that holds the project: its secrets, its sessions, its neighbours."""
    if folder == Path("/"):
        fail("SBX004", path=folder)
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink() or entry in needed:
            continue
        yield from ("--tmpfs", str(entry)) if entry.is_dir() else ("--ro-bind", os.devnull, str(entry))


def _make_private(job: Job, reach: Reach) -> list[Path]:
    """Make what is to be bound, and return the new folders that the job does not own, outer ones first."""
    if job.lock:
        Path(job.lock).touch(0o600)
    for text in (job.artifacts, job.scratch, job.spools):
        if text:
            make_private(Path(text))
    made = [path for folder in reach.folders for path in (folder, *folder.parents) if not path.exists()]
    for folder in reach.folders:
        with suppress(OSError):  # the step says why it cannot be
            folder.mkdir(parents=True, exist_ok=True)
    return sorted({*made, *([Path(job.spools)] if job.spools else [])})


def loads_strangers(job: Job) -> bool:
    """Tell whether a job loads a driver, or what belongs to a family, that does not come with Osiris."""
    references = [*(step["connection"] or "" for step in job.steps), *job.uses, str(job.discover.get("source", ""))]
    components = {str(step["component"]) for step in job.steps}
    families = {reference.removeprefix("@").partition(".")[0] for reference in references}
    families |= {name.partition(".")[0] for name in components}
    return bool(components & _strangers(COMPONENTS) or families & _strangers(FAMILIES))


def _strangers(group: str) -> set[str]:
    return {name for _group, name, target, _owner in installed_entries([group]) if not target.startswith(_OURS)}
