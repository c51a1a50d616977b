"""One sandbox: a tree, an agent in it, processes, and a lifetime."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bubble
from .faults import Faults, Way
from .link import Link
from .process import Process
from .wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

ENVD_VERSION = "0.6.13"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHELL = "/bin/bash"
PATIENCE = 20.0
GONE = "The sandbox was not found"


@dataclass(eq=False)
class Sandbox:
    template: str
    tree: Path
    """The host's folder that is `/` in the sandbox; it stays after the sandbox's end, until the service's."""
    asked: dict[str, Any]
    """What was asked for: metadata, envVars, timeout, allow_internet_access, network…"""
    service: Faults
    exit_kept: float
    call: Callable[[Coroutine[Any, Any, Any]], Any] = field(repr=False)
    """Runs something in the service's thread and waits for it."""
    id: str = field(default_factory=lambda: f"i{uuid.uuid4().hex[:19]}")
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "starting"
    """starting, running, paused or dead"""
    faults: Faults = field(default_factory=Faults)
    processes: dict[int, Process] = field(default_factory=dict)
    isolated: bool = True

    def __post_init__(self) -> None:
        self.way = Way((self.faults, self.service))
        self.started = datetime.now(UTC)
        self._timer: asyncio.TimerHandle | None = None
        self._agent: subprocess.Popen[bytes] | None = None

    # For tests, from any thread.

    @property
    def alive(self) -> bool:
        return self.state != "dead"

    @property
    def metadata(self) -> dict[str, str]:
        return self.asked.get("metadata") or {}

    def path(self, path: str) -> Path:
        """Return the host's path of a file in the sandbox (one that no mount hides)."""
        return self.tree / path.lstrip("/")

    def pids(self) -> list[int]:
        """Return the host's pids of all processes that commands started, for `/proc/<pid>/environ` and the like."""
        if self._agent is None or self._agent.poll() is not None:
            return []
        found = _below(self._agent.pid)
        return found[1:] if self.isolated else found  # the first below bwrap is the agent

    def kill(self) -> None:
        """End it now, as a failing host would: open connections break."""
        self.call(self.end())

    def expire(self) -> None:
        """End its lifetime."""
        self.call(self._time_over())

    # What the service does, in its own thread.

    async def start(self, binds: Sequence[Path]) -> None:
        """Start the agent. Raises `Refused` where that fails."""
        ours, theirs = socket.socketpair()
        network = self.asked.get("allow_internet_access") is not False
        command = bubble.command(self.tree, theirs.fileno(), binds, isolated=self.isolated, network=network)
        with theirs, (self.tree.parent / "log").open("ab") as log:
            self._agent = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.environ.get("PATH", os.defpath)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._link = Link(ours, self._on_exit, self._on_end)
        await asyncio.wait_for(self._link.ready, PATIENCE)

    def open(self, timeout: float) -> None:
        self.state = "running"
        self.live_for(timeout)

    def live_for(self, seconds: float) -> None:
        """Set the end of its lifetime to that many seconds from now."""
        if self._timer:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self.ends = datetime.now(UTC) + timedelta(seconds=seconds)
        self._timer = loop.call_later(seconds, lambda: loop.create_task(self._time_over()))

    def live_longer(self, seconds: float) -> None:
        """Extend its lifetime to at least that many seconds from now."""
        if self.ends < datetime.now(UTC) + timedelta(seconds=seconds):
            self.live_for(seconds)

    async def _time_over(self) -> None:
        await (self.pause() if self.asked.get("autoPause") else self.end())

    async def run(self, command: str) -> None:
        """Run a command that prepares the sandbox. Raises `Refused` if it fails."""
        process = await self.spawn({"process": {"cmd": SHELL, "args": ["-l", "-c", command]}})
        code = await process.exited
        if code:
            raise Refused("internal", f"preparing the sandbox failed with {code}: {command}")

    async def spawn(self, request: dict[str, Any], user: str = "user") -> Process:
        """Start a command without listeners."""
        config = request["process"]
        home = self._home(user)
        environment = {"PATH": PATH, "HOME": home, "USER": user, "LOGNAME": user}
        environment |= (self.asked.get("envVars") or {}) | (config.get("envs") or {})
        mine, theirs = _pipes(stdin=bool(request.get("stdin")))
        try:
            argv = [config["cmd"], *config.get("args", ())]
            cwd = config.get("cwd") or home
            pid = await self._link.ask("spawn", theirs, argv=argv, env=environment, cwd=cwd)
        except Refused as refused:
            for fd in mine:
                os.close(fd) if fd is not None else None
            raise Refused("invalid_argument", refused.message) from None
        finally:
            for fd in theirs:
                os.close(fd)
        process = self.processes[pid] = Process(pid, request, self._link, self.way)
        process.follow(*mine)
        return process

    def _home(self, user: str) -> str:
        home = "/root" if user == "root" else f"/home/{user}"
        return home if self.isolated else str(self.tree) + home

    def process(self, selector: dict[str, Any]) -> Process:
        """Find a process by number or tag. Raises `Refused`."""
        for pid, process in self.processes.items():
            if selector.get("pid") == pid or (process.tag and selector.get("tag") == process.tag):
                return process
        raise Refused("not_found", f"process with pid {selector.get('pid')} not found")

    async def ask(self, do: str, **fields: Any) -> Any:
        return await self._link.ask(do, **fields)

    async def open_file(self, do: str, path: str) -> tuple[int, Any]:
        return await self._link.open(do, path)

    async def pause(self) -> None:
        self.state = "paused"
        if self._timer:
            self._timer.cancel()
        await self._link.ask("signal_all", number=signal.SIGSTOP)
        for process in self.processes.values():
            process.part(Refused("canceled", "the sandbox was paused"))

    async def resume(self) -> None:
        self.state = "running"
        await self._link.ask("signal_all", number=signal.SIGCONT)

    async def end(self) -> None:
        """End everything that runs in it and wait until it has ended."""
        self.state = "dead"
        if self._timer:
            self._timer.cancel()
        if self._agent is not None:
            self._link.close()
            await asyncio.to_thread(self._agent.wait, PATIENCE)

    def _on_exit(self, pid: int, code: int) -> None:
        process = self.processes.get(pid)
        if process is None or process.exited.done():
            return  # an orphan's end
        process.exited.set_result(code)
        asyncio.get_running_loop().call_later(self.exit_kept, self._forget, process)

    def _forget(self, process: Process) -> None:
        if self.processes.get(process.pid) is process:
            del self.processes[process.pid]

    def _on_end(self) -> None:
        """The agent has ended, and with it all that ran here."""
        self.state = "dead"
        self._ending = asyncio.get_running_loop().create_task(self._tell_of_end())

    async def _tell_of_end(self) -> None:
        """Notify listeners once nothing runs any more."""
        await asyncio.to_thread(self._agent.wait, PATIENCE)
        gone = Refused("unavailable", f"the connection to sandbox {self.id} ended before the stream completed")
        for process in self.processes.values():
            process.abandon(gone)


def _pipes(*, stdin: bool) -> tuple[tuple[int | None, int, int], tuple[int, int, int]]:
    """The service's and the command's ends of the three streams."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    if not stdin:
        return (None, out, err), (os.open(os.devnull, os.O_RDONLY), out_end, err_end)
    in_end, into = os.pipe()
    os.set_blocking(into, False)
    return (into, out, err), (in_end, out_end, err_end)


def _below(parent: int) -> list[int]:
    """All processes below one, in the order of the tree."""
    found, parents = [], [parent]
    while parents:
        below: list[int] = []
        for one in parents:
            with suppress(OSError):
                below += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        found += below
        parents = below
    return found
