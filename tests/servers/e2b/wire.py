"""The shapes on the wire: Connect's envelopes, and the errors of both planes."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UNARY = "application/json"
STREAM = "application/connect+json"
LAST = 0x02
_HEAD = struct.Struct(">BI")
_STATUS = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "unimplemented": 501,
    "unavailable": 503,
    "deadline_exceeded": 504,
}


class Refused(Exception):
    """An error of a Connect call: `code` is one of the protocol's names."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def told(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}

    def response(self) -> JSONResponse:
        return JSONResponse(self.told(), _STATUS.get(self.code, 500))


def failure(status: int, message: str, **headers: str) -> JSONResponse:
    """An error of the control plane, or of envd's plain HTTP part."""
    return JSONResponse({"code": status, "message": message}, status, headers)


def envelope(message: dict[str, Any], flags: int = 0) -> bytes:
    body = json.dumps(message, separators=(",", ":")).encode()
    return _HEAD.pack(flags, len(body)) + body


async def envelopes(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Take a client's stream apart as it comes in."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= _HEAD.size:
            flags, size = _HEAD.unpack_from(held)
            if len(held) < _HEAD.size + size:
                break
            body = bytes(held[_HEAD.size : _HEAD.size + size])
            del held[: _HEAD.size + size]
            if not flags & LAST:
                yield json.loads(body)
