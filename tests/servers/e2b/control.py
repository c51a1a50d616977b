"""The control plane: sandboxes and templates, as `E2B_API_URL` has them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from starlette.responses import JSONResponse, Response

from .sandbox import ENVD_VERSION, Sandbox
from .templates import alias_answer, request_answer, snapshot_answer, status_answer, tags_answer
from .wire import Refused, failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from .service import Service

    Call = Callable[..., Awaitable[Response]]

DEFAULT_TIMEOUT = 300
DAY = 24 * 3600
CPUS, MEMORY, DISK = 2, 512, 10240


async def create(service: Service, request: Request) -> Response:
    asked = await request.json()
    template = service.templates.find(asked["templateID"])
    if template is None:
        return failure(404, f"template '{asked['templateID']}' not found")
    if not 0 <= asked.get("timeout", DEFAULT_TIMEOUT) <= DAY:
        return failure(400, "Timeout cannot be greater than 24 hours")
    key = request.headers.get("Idempotency-Key")
    async with service.creating:
        sandbox = service.by_key.get(key) if key else None
        if sandbox is None:
            try:
                sandbox = await service.new_sandbox(template, asked)
            except Refused as refused:
                return failure(500, refused.message)
            if key:
                service.by_key[key] = sandbox
    return JSONResponse(_brief(sandbox), 201)


def _brief(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "templateID": sandbox.template,
        "sandboxID": sandbox.id,
        "clientID": "local",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": sandbox.token,
        "domain": None,
    }


def _detail(service: Service, sandbox: Sandbox) -> dict[str, Any]:
    template = service.templates.find(sandbox.template)
    sizes = template.asked if template else {}
    told = {name: value for name, value in _brief(sandbox).items() if name != "domain"}
    return told | {
        "startedAt": sandbox.started.isoformat(),
        "endAt": sandbox.ends.isoformat(),
        "state": sandbox.state,
        "cpuCount": sizes.get("cpuCount") or CPUS,
        "memoryMB": sizes.get("memoryMB") or MEMORY,
        "diskSizeMB": DISK,
        "metadata": sandbox.metadata,
    }


async def listed(service: Service, request: Request) -> Response:
    query = request.query_params
    metadata = {unquote(key): unquote(value) for key, value in parse_qsl(query.get("metadata", ""))}
    states = query.get("state", "running,paused").split(",")
    found = [
        one
        for one in sorted(service.sandboxes, key=lambda one: one.started, reverse=query.get("order") != "asc")
        if one.state in states
        and metadata.items() <= one.metadata.items()
        and query.get("template", one.template) == one.template
    ]
    start, limit = int(query.get("nextToken", 0)), int(query.get("limit", 100))
    more = {"x-next-token": str(start + limit)} if start + limit < len(found) else {}
    return JSONResponse([_detail(service, one) for one in found[start : start + limit]], headers=more)


async def info(service: Service, _request: Request, sandbox: Sandbox) -> Response:
    return JSONResponse(_detail(service, sandbox))


async def kill(_service: Service, _request: Request, sandbox: Sandbox) -> Response:
    await sandbox.end()
    return Response(status_code=204)


async def set_timeout(_service: Service, request: Request, sandbox: Sandbox) -> Response:
    if sandbox.state == "paused":
        return failure(404, f"Sandbox {sandbox.id} not found")
    sandbox.live_for((await request.json())["timeout"])
    return Response(status_code=204)


async def pause(_service: Service, _request: Request, sandbox: Sandbox) -> Response:
    if sandbox.state == "paused":
        return failure(409, f"Sandbox {sandbox.id} is already paused")
    await sandbox.pause()
    return Response(status_code=204)


async def connect(_service: Service, request: Request, sandbox: Sandbox) -> Response:
    """Resume a paused sandbox; for a running one, only extend its lifetime."""
    seconds = (await request.json()).get("timeout", DEFAULT_TIMEOUT)
    if sandbox.state == "paused":
        await sandbox.resume()
        sandbox.live_for(seconds)
        return JSONResponse(_brief(sandbox), 201)
    sandbox.live_longer(seconds)
    return JSONResponse(_brief(sandbox))


async def request_template(service: Service, request: Request) -> Response:
    return JSONResponse(request_answer(service.templates.request(await request.json())), 202)


async def files(service: Service, request: Request, _template: str, digest: str) -> Response:
    """Return where to put the archive of a COPY step; an existing one need not be sent again."""
    present = service.templates.file(digest).exists()
    return JSONResponse(
        {"present": present, "url": f"{request.url.scheme}://{request.url.netloc}/uploads/{digest}"}, 201
    )


async def put_files(service: Service, request: Request, digest: str) -> Response:
    service.templates.file(digest).write_bytes(await request.body())
    return Response()


async def build(service: Service, request: Request, template_id: str, build_id: str) -> Response:
    template = service.templates.by_build(template_id, build_id)
    if template is None:
        return failure(404, f"build {build_id} not found")
    service.templates.build(template, await request.json(), service.faults.build_error)
    return Response(status_code=202)


async def status(service: Service, request: Request, template_id: str, build_id: str) -> Response:
    template = service.templates.by_build(template_id, build_id)
    if template is None:
        return failure(404, f"build {build_id} not found")
    return JSONResponse(status_answer(template, int(request.query_params.get("logsOffset", 0))))


async def alias(service: Service, _request: Request, name: str) -> Response:
    template = service.templates.find(unquote(name))
    return JSONResponse(alias_answer(template)) if template else failure(404, f"alias '{name}' not found")


async def tags(service: Service, _request: Request, name: str) -> Response:
    template = service.templates.find(unquote(name))
    return JSONResponse(tags_answer(template)) if template else failure(404, f"template '{name}' not found")


async def snapshot(service: Service, request: Request, sandbox: Sandbox) -> Response:
    asked = await request.json()
    if asked.get("memory") is False:
        return failure(400, "filesystem-only snapshots are not enabled for the team")
    name = asked.get("name")
    made = await asyncio.to_thread(service.templates.snapshot, name, sandbox.id, sandbox.tree)
    return JSONResponse(snapshot_answer(made), 201)


async def snapshots(service: Service, request: Request) -> Response:
    query = request.query_params
    found = service.templates.snapshots(query.get("name"), query.get("sandboxID"))
    start, limit = int(query.get("nextToken", 0)), int(query.get("limit", 100))
    more = {"x-next-token": str(start + limit)} if start + limit < len(found) else {}
    return JSONResponse([snapshot_answer(one) for one in found[start : start + limit]], headers=more)


_ONE = r"/sandboxes/([^/]+)"
CALLS: tuple[tuple[str, re.Pattern[str], Call], ...] = tuple(
    (method, re.compile(pattern), call)
    for method, pattern, call in (
        ("POST", r"(?:/v2)?/sandboxes", create),
        ("GET", r"/v2/sandboxes", listed),
        ("POST", r"/v3/templates", request_template),
        ("GET", r"/templates/([^/]+)/files/([^/]+)", files),
        ("PUT", r"/uploads/([^/]+)", put_files),
        ("POST", r"/v2/templates/([^/]+)/builds/([^/]+)", build),
        ("GET", r"/templates/([^/]+)/builds/([^/]+)/status", status),
        ("GET", r"/templates/aliases/(.+)", alias),
        ("GET", r"/templates/([^/]+)/tags", tags),
        ("GET", r"/snapshots", snapshots),
    )
)
SANDBOX_CALLS: tuple[tuple[str, re.Pattern[str], Call], ...] = tuple(
    (method, re.compile(pattern), call)
    for method, pattern, call in (
        ("GET", _ONE, info),
        ("DELETE", _ONE, kill),
        ("POST", rf"{_ONE}/timeout", set_timeout),
        ("POST", rf"{_ONE}/pause", pause),
        ("POST", rf"{_ONE}/snapshots", snapshot),
        ("POST", rf"/v2{_ONE}/connect", connect),
    )
)


async def answer(service: Service, request: Request) -> Response | None:
    """Answer a control call; None if the call does not exist."""
    path = request.url.path
    if not path.startswith("/uploads/") and request.headers.get("X-API-KEY") != service.api_key:
        return failure(401, "Invalid API key")
    if (refusal := service.faults.refusal(request.method, path)) is not None:
        return refusal
    for method, pattern, call in CALLS:
        if method == request.method and (found := pattern.fullmatch(path)):
            return await call(service, request, *found.groups())
    for method, pattern, call in SANDBOX_CALLS:
        if method == request.method and (found := pattern.fullmatch(path)):
            sandbox = service.find(found[1])
            return await call(service, request, sandbox) if sandbox else failure(404, f"Sandbox {found[1]} not found")
    return None
