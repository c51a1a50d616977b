"""The service as a whole: two ports, a thread, and what a test can observe."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request

from . import bubble, control, envd
from .faults import Cut, Faults, Way
from .sandbox import GONE, Sandbox
from .templates import Base, Template, Templates
from .web import Listener
from .wire import Refused, failure

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, Sequence

    from starlette.responses import Response

PATIENCE = 30.0
EXIT_KEPT = 30.0
SWEEPER = Path(__file__).with_name("sweeper.py")


@dataclass
class Seen:
    """One request that came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    sandbox: str | None
    body: bytes = b""
    """The body where it is JSON; neither files nor streams."""
    status: int | None = None


class Service:
    """The result of `e2b_service`: `environment` for the SDK, `faults`, `sandboxes`, `requests`, `templates`."""

    def __init__(
        self, folder: Path, bases: Mapping[str, Base], binds: Sequence[Path], exit_kept: float, *, isolated: bool
    ) -> None:
        self.folder, self.binds, self.isolated = folder, tuple(binds), isolated
        self.api_key = f"e2b_{secrets.token_hex(20)}"
        self.faults = Faults()
        self.sandboxes: list[Sandbox] = []
        self.requests: list[Seen] = []
        self.templates = Templates(folder / "templates", bases)
        self.by_key: dict[str, Sandbox] = {}
        self.bugs: list[str] = []
        self._exit_kept = exit_kept
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="e2b", daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the SDK needs."""
        return {
            "E2B_API_KEY": self.api_key,
            "E2B_API_URL": self._control.url,
            "E2B_SANDBOX_URL": self._data.url,
        }

    def find(self, number: str) -> Sandbox | None:
        """Return the sandbox with an id, if it is alive."""
        return next((one for one in self.sandboxes if one.id == number and one.alive), None)

    def sandbox(self, number: str) -> Sandbox:
        """The sandbox with an id, alive or dead."""
        return next(one for one in self.sandboxes if one.id == number)

    def call(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """Run a function in the service's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(PATIENCE)

    @contextmanager
    def unreachable(self, *, api: bool = True, sandboxes: bool = True) -> Iterator[None]:
        """Refuse connections, and break those that are open, until the block ends."""
        away = [one for one, chosen in ((self._control, api), (self._data, sandboxes)) if chosen]
        for one in away:
            self.call(one.close())
        try:
            yield
        finally:
            for one in away:
                self.call(one.open())

    def start(self) -> None:
        self._thread.start()
        self.call(self._open())

    async def _open(self) -> None:
        self.creating = asyncio.Lock()
        self._control, self._data = Listener(self._serve_control), Listener(self._serve_data)
        await self._control.open()
        await self._data.open()

    def stop(self) -> None:
        """End all sandboxes and the thread."""
        self.call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _close(self) -> None:
        self.faults.clear()
        await self._control.close()
        await self._data.close()
        for sandbox in self.sandboxes:
            await sandbox.end()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()

    async def new_sandbox(self, template: Template, asked: dict[str, Any]) -> Sandbox:
        """Create a tree, start an agent in it, and run the template's commands."""
        folder = Path(tempfile.mkdtemp(prefix="sandbox-", dir=self.folder))
        tree = folder / "tree"
        bubble.make_tree(tree)
        commands = await asyncio.to_thread(self.templates.lay_out, template, tree)
        sandbox = Sandbox(template.id, tree, asked, self.faults, self._exit_kept, self.call, isolated=self.isolated)
        self.sandboxes.append(sandbox)
        try:
            await sandbox.start(self.binds)
            for command in commands:
                await sandbox.run(command)
        except Refused:
            await sandbox.end()
            raise
        sandbox.open(asked.get("timeout", control.DEFAULT_TIMEOUT))
        return sandbox

    async def _serve_control(self, scope: Any, receive: Any, send: Any) -> None:
        await self._serve(scope, receive, send, sandboxes=False)

    async def _serve_data(self, scope: Any, receive: Any, send: Any) -> None:
        await self._serve(scope, receive, send, sandboxes=True)

    async def _serve(self, scope: Any, receive: Any, send: Any, *, sandboxes: bool) -> None:
        request = Request(scope, receive)
        number = request.headers.get("E2b-Sandbox-Id") if sandboxes else None
        seen = Seen(request.method, request.url.path, request.url.query, dict(request.headers), number)
        self.requests.append(seen)
        try:
            if request.headers.get("Content-Type") == "application/json":
                seen.body = await request.body()
            answer = await (self._data_answer(request, number) if sandboxes else self._control_answer(request))
            seen.status = answer.status_code
            await answer(scope, receive, send)
        except (Cut, ClientDisconnect):
            raise
        except Exception:
            self.bugs.append(f"{seen.method} {seen.path}: {traceback.format_exc()}")
            raise

    async def _control_answer(self, request: Request) -> Response:
        await Way((self.faults,)).pass_on()
        return await control.answer(self, request) or self._unknown(request)

    async def _data_answer(self, request: Request, number: str | None) -> Response:
        sandbox = self.find(number or "")
        await (sandbox.way if sandbox else Way((self.faults,))).pass_on()
        if sandbox is None or sandbox.state != "running" or sandbox.way.value("lost"):
            return failure(502, GONE)
        if request.headers.get("X-Access-Token") != sandbox.token:
            return failure(401, "unauthenticated")
        return await envd.answer(sandbox, request) or self._unknown(request)

    def _unknown(self, request: Request) -> Response:
        self.bugs.append(f"{request.method} {request.url.path} is not known here")
        return failure(501, "not known to this local service")


@contextmanager
def e2b_service(
    *,
    bases: Mapping[str, Base] | None = None,
    binds: Sequence[Path] = (),
    exit_kept: float = EXIT_KEPT,
    isolated: bool | None = None,
) -> Iterator[Service]:
    """Serve until the block ends. Raises `AssertionError` then if a request came that it was not written for.

    `bases`: how the trees of images and of ready templates are prepared; `base` is there always. `binds`: folders of
    the host that sandboxes see, read-only. `exit_kept`: seconds for which a command's exit can still be asked for.
    `isolated`: whether sandboxes have namespaces of their own, by default where the machine can.
    """
    apart = bubble.namespaces() is not None if isolated is None else isolated
    with _swept_folder() as folder:
        service = Service(folder, bases or {}, binds, exit_kept, isolated=apart)
        service.start()
        try:
            yield service
        finally:
            service.stop()
        if service.bugs:
            raise AssertionError("the local E2B service has a bug:\n" + "\n".join(service.bugs))


@contextmanager
def _swept_folder() -> Iterator[Path]:
    """A folder that is removed with the block, or with this process if that is killed."""
    folder = Path(tempfile.mkdtemp(prefix="osiris-e2b-"))
    command = [sys.executable, "-I", str(SWEEPER), str(folder)]
    sweeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    finally:
        sweeper.stdin.close()
        sweeper.wait(PATIENCE)
