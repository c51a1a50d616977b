"""The locked packages for a Python elsewhere: fetched here once, and kept with their hashes checked."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.runner.pins import lock_digest, lock_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.runner.bootstrap import Found

_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_MACHINES = ("x86_64", "aarch64")
_GLIBC = "glibc 2."
_OLDEST = 5
"""Of glibc 2: wheels are told apart by the oldest one that they run with, and none is for an older one."""

_EARLIER = ("manylinux2014", "manylinux2010", "manylinux1")
_PIN = re.compile(r"(?m)^(?P<pin>[a-z0-9][^\s;]*)(?: ; (?P<marker>.+?))? \\\n(?P<hashes>(?:    --hash=.*\n?)+)")
_LONGEST_LINE = 200


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


def locked_wheels(cache: Path, found: Found) -> list[Path]:
    """Return the wheels of the lock for a Python, from a folder of `cache` if they are there, else from a registry.

    Each has one of the hashes of the lock. Fails with SBX025 if they cannot be fetched.
    """
    lock, pins = lock_digest(), list(_pins(found))
    folder = cache / f"{lock}-{_minor(found)}-{found.machine}-{found.libc.replace(' ', '-')}"
    if not _is_whole(folder, pins):
        _fetch(folder, pins, found)
    for other in cache.iterdir():
        if not other.name.startswith(lock):
            shutil.rmtree(other)
    return sorted(folder.iterdir())


def _fetch(folder: Path, pins: list[str], found: Found) -> None:
    """Fetch wheels into a folder, except those that are there and have their hash."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", _minor(found)),
        *(word for platform in _platforms(found) for word in ("--platform", platform)),
        *("--dest", str(folder), "--requirement", "/dev/stdin"),
    ]
    done = subprocess.run(command, input="".join(pins), capture_output=True, text=True, check=False)
    if done.returncode or not _is_whole(folder, pins):
        reason = (done.stderr.strip().splitlines() or ["pip fetched others"])[-1][:_LONGEST_LINE]
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


def _is_whole(folder: Path, pins: list[str]) -> bool:
    """Tell whether a folder has one wheel for each pin, and none without a hash in them."""
    known = set(re.findall(r"sha256:([0-9a-f]{64})", "".join(pins)))
    files = list(folder.iterdir()) if folder.is_dir() else []
    return len(files) == len(pins) and all(_sha256(file) in known for file in files)


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
