"""The locked packages for a Python elsewhere: fetched here once, and kept with their hashes checked."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from osiris.durable import make_folder, remove_folder
from osiris.errors import fail
from osiris.runner.remote.lockfile import lock_digest, lock_file
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from osiris.runner.remote.bootstrap import Found

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
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        make_folder(folder, private=True)  # somebody may have removed it until now
        if None in (wheels := _wheels(folder, pins)):
            _fetch(folder, pins, found, check)
            wheels = _wheels(folder, pins)
        if missing := [pin.partition(" ")[0] for pin, wheel in zip(pins, wheels, strict=True) if wheel is None]:
            _refuse(found, f"pip fetched others than {', '.join(missing)}")
        yield [wheel for wheel in wheels if wheel]
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        _refuse(found, (said.strip().splitlines() or ["pip did not say why"])[-1][:_LONGEST_LINE])


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
    fail("SBX025", missing=found.missing, reason=f"nor could this machine fetch the packages: {reason}")


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
