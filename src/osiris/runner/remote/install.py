"""Installs what a bare sandbox lacks: from the registry that it reaches, else from wheels that are sent."""

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
from osiris.runner.remote.bootstrap import PACKAGES, PYTHON, look, put, run_there
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from osiris.runner.remote.bootstrap import Found, Patience
    from osiris.runner.transport import Transport

_LOCK, _WHEELS = "sandbox.lock", "wheels"
_PIP = (
    f'{PYTHON} >/dev/null; rm -rf {PACKAGES}; "$python" -m pip install --quiet --disable-pip-version-check'
    f" --require-hashes --only-binary :all: --target {PACKAGES} -r {_LOCK}"
)
_FROM_REGISTRY = f"{_PIP} --retries 1"
"""One that does not answer is not waited for long: there is another way."""

_FROM_WHEELS = (
    f"mkdir -p {_WHEELS} && tar -xf {_WHEELS}.tar -C {_WHEELS} && rm {_WHEELS}.tar"
    f" && {{ {_PIP} --no-index --find-links {_WHEELS}; }}; rm -rf {_WHEELS}"
)


_PYTHONS = ("3.11", "3.12", "3.13", "3.14")

_MACHINES = ("x86_64", "aarch64")

_GLIBC = "glibc 2."

_OLDEST = 5
"""Of glibc 2: wheels are told apart by the oldest one that they run with, and none is for an older one."""

_EARLIER = ("manylinux2014", "manylinux2010", "manylinux1")

_PIN = re.compile(r"(?m)^(?P<pin>[a-z0-9][^\s;]*)(?: ; (?P<marker>.+?))? \\\n(?P<hashes>(?:    --hash=.*\n?)+)")

_LONGEST_LINE = 200

_LONGEST = 600.0
"""Seconds for fetching all wheels."""

_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Installed:
    """Where packages came from, and how many wheels of how many bytes were sent."""

    origin: Literal["registry", "sent"]
    wheels: int = 0
    bytes: int = 0


def install(
    transport: Transport, place: str, found: Found, cache: Path, limit: int | None, patience: Patience
) -> Installed:
    """Install the locked packages in a place, of which no more than `limit` bytes are sent.

    What was sent is kept in `cache`. Fails with SBX025 if it cannot be done, SBX026 if none fit the Python there,
    SBX027 if they are too large, SBX015 if the connection breaks.
    """
    check_fits(found)
    if not found.pip:
        fail("SBX025", missing=found.missing, reason="its Python has no pip")
    with lock_file().open("rb") as lock:
        put(transport, f"{place}/{_LOCK}", lock, patience)
    run_there(transport, place, _FROM_REGISTRY, patience)
    if not look(transport, place, patience).missing:
        return Installed("registry")
    with locked_wheels(cache, found, patience.check) as wheels, tempfile.TemporaryFile(dir=cache) as file:
        size = sum(path.stat().st_size for path in wheels)
        if limit is not None and size > limit:
            fail("SBX027", size=f"{size:,}", limit=f"{limit:,}")
        with tarfile.open(fileobj=file, mode="w") as archive:
            for path in wheels:
                archive.add(path, path.name)
        put(transport, f"{place}/{_WHEELS}.tar", file, patience)
    said = run_there(transport, place, _FROM_WHEELS, patience)
    if missing := look(transport, place, patience).missing:
        fail("SBX025", missing=missing, reason=said or "pip gave no reason")
    return Installed("sent", len(wheels), size)


def check_fits(found: Found) -> None:
    """Fail with SBX026 if the lock has no wheels for a Python."""
    fits = (
        found.implementation == "cpython"
        and _minor(found) in _PYTHONS
        and (found.system, found.machine) in [("Linux", machine) for machine in _MACHINES]
        and found.libc.startswith(_GLIBC)
    )
    if not fits:
        there = f"{found.implementation} {found.python} on {found.system} {found.machine} ({found.libc.strip()})"
        planned = f"cpython {_PYTHONS[0]} to {_PYTHONS[-1]} on Linux {' or '.join(_MACHINES)} (glibc)"
        fail("SBX026", found=there, planned=planned)


@contextmanager
def locked_wheels(cache: Path, found: Found, check: Callable[[], None]) -> Iterator[list[Path]]:
    """Give the wheels of the lock for a Python, from a folder of `cache` if they are there, else from a registry.

    Each has one of the hashes of the lock. `check` is called each second meanwhile, and may raise to stop. When nobody
    uses the cache any more, the folders of other locks are removed. Fails with SBX025 if they cannot be fetched.
    """
    lock, pins = lock_digest(), list(_pins(found))
    folder = cache / f"{lock}-{_minor(found)}-{found.machine}-{found.libc.replace(' ', '-')}"
    make_folder(folder, private=True)
    descriptor = os.open(cache, os.O_RDONLY)
    try:
        take_lock(descriptor, shared=True, wait=True)
        make_folder(folder, private=True)  # somebody may have removed it until now
        if None in (wheels := _wheels(folder, pins)):
            _fetch(folder, pins, found, check)
            wheels = _wheels(folder, pins)
        if missing := [pin.partition(" ")[0] for pin, wheel in zip(pins, wheels, strict=True) if wheel is None]:
            _refuse(found, f"pip fetched others than {', '.join(missing)}")
        yield [wheel for wheel in wheels if wheel]
        if take_lock(descriptor):
            _sweep(cache, lock)
    finally:
        os.close(descriptor)


def _sweep(cache: Path, lock: str) -> None:
    for other in cache.iterdir():
        if other.is_dir() and not other.is_symlink() and not other.name.startswith(lock):
            remove_folder(other)


def _fetch(folder: Path, pins: list[str], found: Found, check: Callable[[], None]) -> None:
    """Fetch wheels into a folder, except those that are there and have their hash."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", _minor(found)),
        *(word for platform in _platforms(found) for word in ("--platform", platform)),
        *("--dest", str(folder), "--requirement", "/dev/stdin"),
    ]
    with tempfile.TemporaryFile("w+") as lines:
        lines.write("".join(pins))
        lines.seek(0)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, text=True, stdin=lines, stdout=pipe, stderr=pipe) as pip:
            try:
                said = _said(pip, check)
            finally:
                pip.kill()
    check()  # an interrupt from a terminal ends pip too
    if said is None:
        _refuse(found, f"it took longer than {duration_text(_LONGEST)}")
    if pip.returncode:
        _refuse(found, (said.strip().splitlines() or ["pip gave no reason"])[-1][:_LONGEST_LINE])


def _said(pip: subprocess.Popen[str], check: Callable[[], None]) -> str | None:
    """Return what pip says of its errors until it has ended; None if that takes too long."""
    until = time.monotonic() + _LONGEST
    while time.monotonic() < until:
        try:
            return pip.communicate(timeout=_LOOK)[1]
        except subprocess.TimeoutExpired:
            check()
    return None


def _refuse(found: Found, reason: str) -> NoReturn:
    fail("SBX025", missing=found.missing, reason=f"this machine could not download the packages either: {reason}")


def _pins(found: Found) -> Iterator[str]:
    """Yield the lines of the lock that hold for a Python, without their conditions."""
    from packaging.markers import Marker  # the client of E2B needs it too

    environment = {
        "implementation_name": found.implementation,
        "platform_machine": found.machine,
        "platform_system": found.system,
        "python_full_version": found.python,
        "python_version": _minor(found),
    }
    for match in _PIN.finditer(lock_file().read_text("utf-8")):
        if not match["marker"] or Marker(match["marker"]).evaluate(environment):
            yield f"{match['pin']} \\\n{match['hashes']}"


def _wheels(folder: Path, pins: list[str]) -> list[Path | None]:
    """Return for each pin a file of a folder that has one of its hashes, None where there is none."""
    files = {_sha256(file): file for file in sorted(folder.iterdir()) if file.is_file()}
    hashes = (re.findall(r"sha256:([0-9a-f]{64})", pin) for pin in pins)
    return [next((files[known] for known in each if known in files), None) for each in hashes]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _minor(found: Found) -> str:
    return ".".join(found.python.split(".")[:2])


def _platforms(found: Found) -> list[str]:
    """Return the names of platforms whose wheels run there, the newest first."""
    newest = int(found.libc.removeprefix(_GLIBC).split(".")[0])
    numbered = [f"manylinux_2_{number}" for number in range(newest, _OLDEST - 1, -1)]
    return [f"{name}_{found.machine}" for name in (*numbered, *_EARLIER)]


def lock_file() -> Path:
    """Return the lock: requirements with hashes, as pip reads them; `tools/lock.py` writes it."""
    return Path(__file__).with_name("sandbox.lock")


def lock_digest() -> str:
    """Return what tells this lock from others."""
    return hashlib.sha256(lock_file().read_bytes()).hexdigest()[:8]


def template_name(cpu: int, memory: int) -> str:
    """Return the name of the template of this version and lock, for so many processors and bytes of memory."""
    return f"osiris-{own_version().replace('.', '-')}-{lock_digest()}-{cpu}x{memory // 2**20}"
