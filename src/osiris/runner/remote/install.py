"""Installs the packages missing in a bare sandbox: from its package index, else from wheels sent to it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from osiris.distribution import own_version
from osiris.durable import make_folder, remove_folder
from osiris.errors import fail
from osiris.files import take_lock
from osiris.runner.remote.bootstrap import PACKAGES, PYTHON, probe_python, put, run_command
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osiris.runner.remote.bootstrap import RemotePython, WaitLimit
    from osiris.runner.transport import Transport

_LOCK, _WHEELS = "sandbox.lock", "wheels"
_PIP = (
    f'{PYTHON} >/dev/null; rm -rf {PACKAGES}; "$python" -m pip install --quiet --disable-pip-version-check'
    f" --require-hashes --only-binary :all: --target {PACKAGES} -r {_LOCK}"
)
_FROM_REGISTRY = f"{_PIP} --retries 1"
"""Fails fast if the index does not answer, as wheels can be sent instead."""

_FROM_WHEELS = (
    f"mkdir -p {_WHEELS} && tar -xf {_WHEELS}.tar -C {_WHEELS} && rm {_WHEELS}.tar"
    f" && {{ {_PIP} --no-index --find-links {_WHEELS}; }}; rm -rf {_WHEELS}"
)


_PYTHONS = ("3.11", "3.12", "3.13", "3.14")

_MACHINES = ("x86_64", "aarch64")

_GLIBC = "glibc 2."

_OLDEST = 5
"""Oldest minor version of glibc 2 that has manylinux wheels."""

_EARLIER = ("manylinux2014", "manylinux2010", "manylinux1")

_PIN = re.compile(r"(?m)^(?P<pin>[a-z0-9][^\s;]*)(?: ; (?P<marker>.+?))? \\\n(?P<hashes>(?:    --hash=.*\n?)+)")

_LONGEST_LINE = 200

_LONGEST = 600.0
"""Timeout in seconds for downloading all wheels."""

_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Installed:
    """Where packages came from, and the number and total bytes of wheels sent."""

    origin: Literal["registry", "sent"]
    wheels: int = 0
    bytes: int = 0


def install(
    transport: Transport, place: str, python: RemotePython, cache: Path, limit: int | None, wait_limit: WaitLimit
) -> Installed:
    """Install the locked packages in a place, sending at most `limit` bytes.

    Wheels are kept in `cache`. Fails with SBX025 if installation fails, SBX026 if no wheels fit the remote Python,
    SBX027 if they exceed the limit, SBX015 if the connection breaks.
    """
    check_fits(python)
    if not python.pip:
        fail("SBX025", missing=python.missing, reason="its Python has no pip")
    with lock_file().open("rb") as lock:
        put(transport, f"{place}/{_LOCK}", lock, wait_limit)
    run_command(transport, place, _FROM_REGISTRY, wait_limit)
    if not probe_python(transport, place, wait_limit).missing:
        return Installed("registry")
    with locked_wheels(cache, python, wait_limit.check) as wheels, tempfile.TemporaryFile(dir=cache) as file:
        size = sum(path.stat().st_size for path in wheels)
        if limit is not None and size > limit:
            fail("SBX027", size=f"{size:,}", limit=f"{limit:,}")
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path in wheels:
                archive.add(path, path.name)
        put(transport, f"{place}/{_WHEELS}.tar", file, wait_limit)
    answer = run_command(transport, place, _FROM_WHEELS, wait_limit)
    if missing := probe_python(transport, place, wait_limit).missing:
        fail("SBX025", missing=missing, reason=answer or "pip gave no reason")
    return Installed("sent", len(wheels), size)


def check_fits(python: RemotePython) -> None:
    """Fail with SBX026 if the lock has no wheels for this Python."""
    fits = (
        python.implementation == "cpython"
        and _minor(python) in _PYTHONS
        and (python.system, python.machine) in [("Linux", machine) for machine in _MACHINES]
        and python.libc.startswith(_GLIBC)
    )
    if not fits:
        there = f"{python.implementation} {python.python} on {python.system} {python.machine} ({python.libc.strip()})"
        planned = f"cpython {_PYTHONS[0]} to {_PYTHONS[-1]} on Linux {' or '.join(_MACHINES)} (glibc)"
        fail("SBX026", found=there, planned=planned)


@contextmanager
def locked_wheels(cache: Path, python: RemotePython, check: Callable[[], None]) -> Iterator[list[Path]]:
    """Provide the lock's wheels for a Python, from a folder of `cache`, else downloaded from the package index.

    Each wheel has a hash of the lock. `check` is called every second meanwhile and may raise to stop. When no other
    process uses the cache, folders of other locks are removed. Fails with SBX025 if a download fails.
    """
    lock, pins = lock_digest(), list(_pins(python))
    folder = cache / f"{lock}-{_minor(python)}-{python.machine}-{python.libc.replace(' ', '-')}"
    make_folder(folder, private=True)
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        take_lock(descriptor, shared=True, wait=True)
        make_folder(folder, private=True)  # another process may have removed it
        if None in (wheels := _wheels(folder, pins)):
            _fetch(folder, pins, python, check)
            wheels = _wheels(folder, pins)
        if missing := [pin.partition(" ")[0] for pin, wheel in zip(pins, wheels, strict=True) if wheel is None]:
            _refuse(python, f"pip fetched others than {', '.join(missing)}")
        yield [wheel for wheel in wheels if wheel]
        if take_lock(descriptor):
            _sweep(cache, lock)
    finally:
        os.close(descriptor)


def _sweep(cache: Path, lock: str) -> None:
    for other in cache.iterdir():
        if other.is_dir() and not other.is_symlink() and not other.name.startswith(lock):
            remove_folder(other)


def _fetch(folder: Path, pins: list[str], python: RemotePython, check: Callable[[], None]) -> None:
    """Download wheels into a folder, except those present with a valid hash."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", _minor(python)),
        *(word for platform in _platforms(python) for word in ("--platform", platform)),
        *("--dest", str(folder), "--requirement", "/dev/stdin"),
    ]
    with tempfile.TemporaryFile("w+") as lines:
        lines.write("".join(pins))
        lines.seek(0)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, text=True, stdin=lines, stdout=pipe, stderr=pipe) as pip:
            try:
                errors = _stderr_of(pip, check)
            finally:
                pip.kill()
    check()  # an interrupt from a terminal ends pip too
    if errors is None:
        _refuse(python, f"it took longer than {duration_text(_LONGEST)}")
    if pip.returncode:
        _refuse(python, (errors.strip().splitlines() or ["pip gave no reason"])[-1][:_LONGEST_LINE])


def _stderr_of(pip: subprocess.Popen[str], check: Callable[[], None]) -> str | None:
    """Wait for pip and return its stderr; None if it times out."""
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        try:
            return pip.communicate(timeout=_LOOK)[1]
        except subprocess.TimeoutExpired:
            check()
    return None


def _refuse(python: RemotePython, reason: str) -> NoReturn:
    fail("SBX025", missing=python.missing, reason=f"this machine could not download the packages either: {reason}")


def _pins(python: RemotePython) -> Iterator[str]:
    """Yield the requirements of the lock that apply to a Python, without their markers."""
    from packaging.markers import Marker  # the client of E2B needs it too

    environment = {
        "implementation_name": python.implementation,
        "platform_machine": python.machine,
        "platform_system": python.system,
        "python_full_version": python.python,
        "python_version": _minor(python),
    }
    for match in _PIN.finditer(lock_file().read_text("utf-8")):
        if not match["marker"] or Marker(match["marker"]).evaluate(environment):
            yield f"{match['pin']} \\\n{match['hashes']}"


def _wheels(folder: Path, pins: list[str]) -> list[Path | None]:
    """Return for each pin a file of the folder with one of its hashes; None where there is none."""
    files = {_sha256(file): file for file in sorted(folder.iterdir()) if file.is_file()}
    hashes = (re.findall(r"sha256:([0-9a-f]{64})", pin) for pin in pins)
    return [next((files[sha256] for sha256 in each if sha256 in files), None) for each in hashes]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minor(python: RemotePython) -> str:
    return ".".join(python.python.split(".")[:2])


def _platforms(python: RemotePython) -> list[str]:
    """Return the platform tags whose wheels run there, newest first."""
    newest = int(python.libc.removeprefix(_GLIBC).split(".")[0])
    numbered = [f"manylinux_2_{number}" for number in range(newest, _OLDEST - 1, -1)]
    return [f"{name}_{python.machine}" for name in (*numbered, *_EARLIER)]


def lock_file() -> Path:
    """Return the lock: requirements with hashes, as pip reads them; `tools/lock.py` writes it."""
    return Path(__file__).with_name("sandbox.lock")


def lock_digest() -> str:
    """Return a short digest of the lock."""
    return hashlib.sha256(lock_file().read_bytes()).hexdigest()[:8]


def template_name(cpu: int, memory: int) -> str:
    """Return the name of the template of this version and lock, with `cpu` processors and `memory` bytes."""
    return f"osiris-{own_version().replace('.', '-')}-{lock_digest()}-{cpu}x{memory // 2**20}"
