"""What a server of objects says of a request, by its status and its code: the client's errors tell less."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Answer = tuple[int, str]
"""Status and code; the status is 0 where nobody could be asked."""

_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,80})</Code>")
_SIGNED = timedelta(minutes=5)


def answer_to(link: str, seconds: float) -> Answer | None:
    """Ask for the first byte behind a link; None where no answer comes."""
    import httpx

    try:
        answer = httpx.get(link, headers={"Range": "bytes=0-0"}, timeout=seconds, trust_env=False)
    except httpx.TransportError:
        return None
    found = _CODE.search(answer.content[:4096])
    return answer.status_code, answer.headers.get("x-ms-error-code", found[1].decode() if found else "")


def ask_signed(store: ObjectStore, _fields: object, _bucket: str, seconds: float, key: str) -> Answer | None:
    """Ask for the first byte of an object by a link that the client signs."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        link = obstore.sign(store, "GET", key or "-", _SIGNED)  # type: ignore[call-overload]
    except BaseError:  # there is no key that could sign
        return 0, ""
    return answer_to(str(link), seconds)
