"""What a server of objects says of a request, by its status and its code: the client's errors tell less."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from obstore.store import ObjectStore

    from osiris.model import JsonValue

    Base = Callable[[Mapping[str, JsonValue], str], str]

Answer = tuple[int, str]
"""Status and code; the status is 0 where nobody could be asked."""

_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,80})</Code>")
_SIGNED = timedelta(minutes=5)
_ENOUGH = 4096
_FORBIDDEN = (401, 403)


def answer_to(link: str, seconds: float) -> Answer | None:
    """Ask for the first byte behind a link; None where no answer comes."""
    import httpx

    plain = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    try:
        with httpx.stream("GET", link, headers=plain, timeout=seconds, trust_env=False) as answer:
            said = next(answer.iter_raw(_ENOUGH), b"")  # of one that heeds no range, the rest may be large
    except httpx.TransportError:
        return None
    found = _CODE.search(said)
    return answer.status_code, answer.headers.get("x-ms-error-code", found[1].decode() if found else "")


def ask_signed(
    base: Base, store: ObjectStore, fields: Mapping[str, JsonValue], bucket: str, seconds: float, key: str
) -> Answer | None:
    """Ask for the first byte of an object by a link that the client signs; without a key by one below `base`."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        link = obstore.sign(store, "GET", key or "-", _SIGNED)  # type: ignore[call-overload]
    except BaseError:  # there is no key that could sign
        told = answer_to(f"{base(fields, bucket)}/{quote(key or '-')}", seconds)
        return (told[0], "AccessDenied") if told and told[0] in _FORBIDDEN else told
    return answer_to(str(link), seconds)
