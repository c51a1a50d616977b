"""Makes an empty folder at the other end of a transport into a place where the worker runs, and starts it."""

from __future__ import annotations

import json
import shlex
import time
from typing import TYPE_CHECKING, BinaryIO

from osiris.errors import fail
from osiris.runner import bundle
from osiris.runner.pins import lock_file
from osiris.runner.transport import Cut, Gone, output_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.runner.transport import Transport

PYTHON = 'for python in /opt/osiris/bin/python python3; do command -v "$python" && break; done'
"""Chooses the Python of templates that were built for us, or the one that is there."""

_PACKAGES = "packages"
"""Folder of what is installed for one run."""

_FOLDERS = (bundle.CODE, bundle.PROJECT, bundle.SPOOLS, "session/artifacts", "scratch", "handover")
_ATTEMPTS = 3
_LONGEST = 600.0
"""Seconds for unpacking, and for installing packages."""

_PAUSE = 1.0
_MARK = b"osiris-ready "
_LOCK = "sandbox.lock"
_INSTALL = (
    f'{PYTHON} >/dev/null; "$python" -m pip install --quiet --require-hashes --only-binary :all:'
    f" --target {_PACKAGES} -r {_LOCK} 2>&1"
)

_OURS = "import os, sys; sys.path[:0] = map(os.path.abspath, sys.argv[1:3])"
_CHECK = f"""{_OURS}
missing = "Python 3.11" if sys.version_info < (3, 11) else ""
try:
    import osiris.registry, osiris.runner.worker, osiris.runner.steps
except ImportError as error:
    missing = missing or error.name or str(error)
import json; print("osiris-ready " + json.dumps({{"missing": missing}}))
"""

_WORKER = f"{_OURS}; del sys.argv[1:3]; from osiris.runner.worker import main; main()"


def prepare(transport: Transport, place: str, archive: BinaryIO, folders: Sequence[str]) -> None:
    """Send and unpack an archive, make folders of the project, and see whether the worker would start.

    Fails with SBX015 if the archive does not get there, SBX024 if something is missing that the worker needs, SBX025 if
    it cannot be installed.
    """
    _put(transport, f"{place}/bundle.tar.gz", archive)
    made = [*_FOLDERS, *(f"{bundle.PROJECT}/{folder}" for folder in folders)]
    command = (
        f"cd {shlex.quote(place)} && mkdir -p -- {' '.join(map(shlex.quote, made))} && chmod 700 session"
        " && tar -xzf bundle.tar.gz && rm bundle.tar.gz"
    )
    missing = _check(transport, place, command)
    if missing and transport.installs:
        with lock_file().open("rb") as lock:
            _put(transport, f"{place}/{_LOCK}", lock)
        missing = _check(transport, place, f"cd {shlex.quote(place)} && {_INSTALL}")
        if missing:
            fail("SBX025", missing=missing)
    if missing:
        fail("SBX024", missing=missing)


def _check(transport: Transport, place: str, command: str) -> str:
    """Run a command and return what the worker would miss after it, else nothing; fails with SBX015."""
    check = f'{PYTHON} >/dev/null; "$python" -I -c {shlex.quote(_CHECK)} {bundle.CODE} {_PACKAGES} 2>&1'
    told = output_of(transport, f"{command}; cd {shlex.quote(place)} && {check}", _LONGEST)
    answer = next((line for line in told.splitlines() if line.startswith(_MARK)), None)
    if answer is None:
        reason = told.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
        fail("SBX015", what="the worker's code", done="made ready", reason=reason[0])
    return str(json.loads(answer.removeprefix(_MARK))["missing"])


def start_command(place: str) -> str:
    """Return the command that starts the worker, which keeps its events; what drivers print goes to a file."""
    return (
        f"cd {shlex.quote(place)} && {PYTHON} >/dev/null"
        f'; exec env -i TZ=UTC LC_ALL=C.UTF-8 HOME="$HOME" PATH="$PATH" "$python" -I -c {shlex.quote(_WORKER)}'
        f" {bundle.CODE} {_PACKAGES} {shlex.quote(place)}/session 2>session/worker.log"
    )


def _put(transport: Transport, path: str, content: BinaryIO) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        content.seek(0)
        try:
            transport.put(path, content)
        except (Cut, Gone) as error:
            if attempt == _ATTEMPTS or isinstance(error, Gone):
                fail("SBX015", what="the files of the run", done="sent", reason=str(error) or type(error).__name__)
            time.sleep(_PAUSE)
        else:
            return
