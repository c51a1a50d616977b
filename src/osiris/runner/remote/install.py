"""Installs what a bare sandbox lacks: from the registry that it reaches, else from wheels that are sent."""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from osiris.errors import fail
from osiris.runner.remote.bootstrap import PACKAGES, PYTHON, look, put, run_there
from osiris.runner.remote.lockfile import lock_file
from osiris.runner.remote.wheels import check_fits, locked_wheels

if TYPE_CHECKING:
    from pathlib import Path

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
        fail("SBX025", missing=missing, reason=said or "pip did not say why")
    return Installed("sent", len(wheels), size)
