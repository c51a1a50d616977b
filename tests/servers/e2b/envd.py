"""The daemon in a sandbox: processes and the file system by Connect calls, file contents by plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import signal
import zlib
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from .web import Stream
from .wire import LAST, STREAM, Refused, envelope, envelopes, failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from io import FileIO

    from starlette.requests import Request

    from .process import Process
    from .sandbox import Sandbox

    Call = Callable[[Sandbox, Request], Awaitable[Response]]

BLOCK = 256 * 1024
_SIGNALS = {"SIGNAL_SIGTERM": signal.SIGTERM, "SIGNAL_SIGKILL": signal.SIGKILL}


async def health(_sandbox: Sandbox, _request: Request) -> Response:
    return Response(status_code=204)


async def download(sandbox: Sandbox, request: Request) -> Response:
    try:
        fd, size = await sandbox.open_file("read", request.query_params["path"])
    except Refused as refused:
        return failure(404 if refused.code == "not_found" else 400, refused.message)
    file = os.fdopen(fd, "rb", 0)
    start, stop = _range(request.headers.get("Range", ""), size)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(stop - start)}
    if "Range" in request.headers:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if "Range" in request.headers else 200
    return Stream(_blocks(file, start, stop), sandbox.way, headers, status, leave=file.close)


def _range(text: str, size: int) -> tuple[int, int]:
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not first:
        return (max(0, size - int(last)), size) if last else (0, size)
    return min(int(first), size), min(int(last) + 1, size) if last else size


async def _blocks(file: FileIO, start: int, stop: int) -> AsyncIterator[tuple[bytes, int]]:
    file.seek(start)
    while start < stop and (block := await asyncio.to_thread(file.read, min(BLOCK, stop - start))):
        start += len(block)
        yield block, 0


async def upload(sandbox: Sandbox, request: Request) -> Response:
    """Write directly to the file while data arrives: an interrupted upload leaves a part."""
    if request.headers.get("Content-Type", "").startswith("multipart/form-data"):
        return await _upload_form(sandbox, request)
    body = _slowly(request.stream(), sandbox)
    if request.headers.get("Content-Encoding") == "gzip":
        body = _inflated(body)
    return await _answer_of([(request.query_params["path"], body)], sandbox)


async def _upload_form(sandbox: Sandbox, request: Request) -> Response:
    async with request.form() as form:
        files = [part for _name, part in form.multi_items() if not isinstance(part, str)]
        named = request.query_params.get("path")
        parts = [(named or part.filename or "", _slowly(_one(await part.read()), sandbox)) for part in files]
        return await _answer_of(parts, sandbox)


async def _answer_of(parts: list[tuple[str, AsyncIterator[bytes]]], sandbox: Sandbox) -> Response:
    written = []
    for path, body in parts:
        try:
            fd, place = await sandbox.open_file("write", path)
        except Refused as refused:
            return failure(400, refused.message)
        if not await _written(fd, body, sandbox.way.value("upload_room")):
            return failure(507, "not enough disk space available")
        written.append({"name": os.path.basename(place), "type": "file", "path": place})
    return JSONResponse(written)


async def _written(fd: int, body: AsyncIterator[bytes], room: int | None) -> bool:
    """Write what fits, and read the rest all the same, so that the client gets the error."""
    size = 0
    with os.fdopen(fd, "wb", 0) as file:
        async for chunk in body:
            fitting = chunk if room is None else chunk[: max(0, room - size)]
            await asyncio.to_thread(file.write, fitting)
            size += len(chunk)
    return room is None or size <= room


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _slowly(body: AsyncIterator[bytes], sandbox: Sandbox) -> AsyncIterator[bytes]:
    async for chunk in body:
        if rate := sandbox.way.value("upload_rate"):
            await asyncio.sleep(len(chunk) / rate)
        await sandbox.way.hold()
        yield chunk


async def _inflated(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    async for chunk in body:
        yield inflate.decompress(chunk)
    yield inflate.flush()


async def start(sandbox: Sandbox, request: Request) -> Response:
    asked = await anext(envelopes(request.stream()))
    seconds = _seconds(request)
    process = await sandbox.spawn(asked, _user(request))
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, _kill_late, process)
    return _stream(process, sandbox, request)


def _kill_late(process: Process) -> None:
    """The timeout of the call is the command's timeout, whoever still listens."""
    if not process.exited.done():
        process.killing = asyncio.create_task(process.signal(signal.SIGKILL))


async def connect(sandbox: Sandbox, request: Request) -> Response:
    asked = await anext(envelopes(request.stream()))
    return _stream(sandbox.process(asked["process"]), sandbox, request)


def _stream(process: Process, sandbox: Sandbox, request: Request) -> Stream:
    listener = process.listen()
    keepalive = request.headers.get("Keepalive-Ping-Interval")
    events = process.events(listener, float(keepalive) if keepalive else None, _seconds(request))
    return Stream(events, sandbox.way, {"Content-Type": STREAM}, leave=lambda: process.leave(listener))


def _seconds(request: Request) -> float | None:
    text = request.headers.get("Connect-Timeout-Ms")
    return int(text) / 1000 if text else None


def _user(request: Request) -> str:
    kind, _, data = request.headers.get("Authorization", "").partition(" ")
    try:
        return base64.b64decode(data).decode().partition(":")[0] if kind == "Basic" else "user"
    except (binascii.Error, UnicodeDecodeError):
        raise Refused("unauthenticated", "the Authorization header cannot be read") from None


async def stream_input(sandbox: Sandbox, request: Request) -> Response:
    process = None
    async for asked in envelopes(request.stream()):
        if "start" in asked:
            process = sandbox.process(asked["start"]["process"])
        elif "data" in asked and process is not None:
            await process.write(_input(asked["data"]))
    return Response(envelope({}) + envelope({}, LAST), media_type=STREAM)


async def send_input(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    await sandbox.process(asked["process"]).write(_input(asked))
    return {}


def _input(asked: dict[str, Any]) -> bytes:
    return base64.b64decode(asked["input"].get("stdin", ""))


async def close_stdin(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    sandbox.process(asked["process"]).close_stdin()
    return {}


async def send_signal(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    number = _SIGNALS.get(asked["signal"])
    if number is None:
        raise Refused("unimplemented", f"unknown signal: {asked['signal']}")
    await sandbox.process(asked["process"]).signal(number)
    return {}


async def processes(sandbox: Sandbox, _asked: dict[str, Any]) -> dict[str, Any]:
    """Return the running processes with their environments, visible to all."""
    alive = [process for process in sandbox.processes.values() if not process.exited.done()]
    tags = [{"tag": process.tag} if process.tag else {} for process in alive]
    return {"processes": [{"config": one.config, "pid": one.pid} | tag for one, tag in zip(alive, tags, strict=True)]}


async def stat(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    return {"entry": await sandbox.ask("stat", path=asked["path"])}


async def make_dir(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    return {"entry": await sandbox.ask("mkdir", path=asked["path"])}


async def move(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    moved = await sandbox.ask("move", source=asked["source"], destination=asked["destination"])
    return {"entry": moved}


async def list_dir(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    return {"entries": await sandbox.ask("list", path=asked["path"], depth=asked.get("depth", 1))}


async def remove(sandbox: Sandbox, asked: dict[str, Any]) -> dict[str, Any]:
    await sandbox.ask("remove", path=asked["path"])
    return {}


CALLS: dict[tuple[str, str], Call] = {
    ("GET", "/health"): health,
    ("GET", "/files"): download,
    ("POST", "/files"): upload,
    ("POST", "/process.Process/Start"): start,
    ("POST", "/process.Process/Connect"): connect,
    ("POST", "/process.Process/StreamInput"): stream_input,
}
UNARY_CALLS = {
    "/process.Process/List": processes,
    "/process.Process/SendInput": send_input,
    "/process.Process/SendSignal": send_signal,
    "/process.Process/CloseStdin": close_stdin,
    "/filesystem.Filesystem/Stat": stat,
    "/filesystem.Filesystem/MakeDir": make_dir,
    "/filesystem.Filesystem/Move": move,
    "/filesystem.Filesystem/ListDir": list_dir,
    "/filesystem.Filesystem/Remove": remove,
}


async def answer(sandbox: Sandbox, request: Request) -> Response | None:
    """Answer a call to a sandbox that runs; None where envd has no such call."""
    path = request.url.path
    try:
        if path in UNARY_CALLS:
            return JSONResponse(await UNARY_CALLS[path](sandbox, await request.json()))
        call = CALLS.get((request.method, path))
        return await call(sandbox, request) if call else None
    except Refused as refused:
        if request.headers.get("Content-Type") == STREAM:
            return Response(envelope({"error": refused.told()}, LAST), media_type=STREAM)
        return refused.response()
