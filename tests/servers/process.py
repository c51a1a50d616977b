"""Shared by both kinds of servers: a folder of an unprivileged user, a free port, a guard, waiting for an answer."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GUARD = Path(__file__).parent / "guard.py"
PATIENCE = 300.0
ATTEMPTS = 3
CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


@dataclass(frozen=True)
class Place:
    """The folder and user of a server."""

    folder: Path
    user: pwd.struct_passwd

    def command(self, *arguments: str | Path) -> None:
        """Run a program of the server as its user; its output is shown only if it fails."""
        other = self.user.pw_uid != os.getuid()
        identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": ()} if other else {}
        done = subprocess.run(
            [str(argument) for argument in arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "LC_ALL": "C"},
            **identity,
        )
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} failed: {done.stdout}{done.stderr}")

    def write(self, name: str, text: str) -> Path:
        """Put a file into the folder that only the server can read."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        path.chmod(0o600)
        os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path


def program(name: str, *folders: str) -> Path:
    """Return a server's program: the one on the path, else the newest in Debian's folders."""
    found = shutil.which(name)
    if found:
        return Path(found).resolve()
    candidates = [path for pattern in folders for path in Path("/").glob(f"{pattern}/{name}")]
    if not candidates:
        raise RuntimeError(f"'{name}' is not installed: run `sh tools/servers.sh` as root")
    return max(candidates, key=lambda path: [int(part) for part in path.parts if part.isdigit()])


def make_place(kind: str) -> Place:
    """Create a server's folder; root gives it to the unprivileged account, because servers refuse to run as root."""
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    folder = Path(tempfile.mkdtemp(prefix=f"osiris-{kind}-"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    return Place(folder, user)


def kept_copy(place: Place, target: Path, key: str, make: Callable[[], None]) -> None:
    """Let `make` fill the target, or copy its earlier result for this key: installing takes longer than copying."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "osiris-test-servers"
    if (cache / key).is_dir():
        shutil.copytree(cache / key, target)
        for path in (target, *target.rglob("*")):
            os.chown(path, place.user.pw_uid, place.user.pw_gid)
        return
    make()
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=cache))
    shutil.copytree(target, fresh, dirs_exist_ok=True)
    try:
        fresh.rename(cache / key)
    except OSError:  # another worker was faster
        shutil.rmtree(fresh)


@contextmanager
def running(
    place: Place, command: Callable[[int], Sequence[str | Path]], number: int, answers: Callable[[int], bool]
) -> Iterator[int]:
    """Run the command that `command` returns for a port until the block ends, under a guard; yields the port.

    `number` is the signal that stops the server.
    """
    guard, port = _started(place, command, number, answers)
    try:
        yield port
    finally:
        guard.stdin.close()
        guard.wait(PATIENCE)
        shutil.rmtree(place.folder, ignore_errors=True)


def _started(
    place: Place, command: Callable[[int], Sequence[str | Path]], number: int, answers: Callable[[int], bool]
) -> tuple[subprocess.Popen, int]:
    """Start on a free port; on another one if a different process took it first."""
    log = place.folder / "log"
    told = ""
    for _ in range(ATTEMPTS):
        port = free_port()
        identity = map(str, (place.user.pw_uid, place.user.pw_gid, int(number)))
        guard = subprocess.Popen(
            [sys.executable, "-I", GUARD, place.folder, *identity, *map(str, command(port))],
            stdin=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place.folder), "LC_ALL": "C"},
        )
        until = time.monotonic() + PATIENCE
        while guard.poll() is None and time.monotonic() < until:
            if answers(port):
                return guard, port
            time.sleep(0.02)
        told = log.read_text("utf-8", "replace")[-2000:] if log.exists() else told
        if guard.poll() is None:
            break
        guard.stdin.close()
    guard.stdin.close()
    guard.wait(PATIENCE)
    shutil.rmtree(place.folder, ignore_errors=True)
    raise RuntimeError(f"the server did not start: {told}")


def free_port() -> int:
    """Return a port on loopback that is free right now, another one each time.

    It is below those that the system gives to clients: one of them could take it before the server does.
    """
    first = int(CLIENTS.read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10_000, max(first, 20_000))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
