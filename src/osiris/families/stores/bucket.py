"""An open bucket of an object store, and what it means when something is refused there.

The client library has few kinds of errors, and says the rest in words. So what a server has against us is asked of the
server itself: a request whose answer has a status and a code.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from osiris.errors import fail
from osiris.families.stores import azure, gcs, s3
from osiris.families.stores.client import SILENCE
from osiris.families.stores.store_errors import ask_signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from obstore.store import ObjectStore

    from osiris.families.stores.store_errors import Answer
    from osiris.model import JsonValue
    from osiris.urls import StoreUrl

_KINDS: dict[str, Any] = {"s3": s3, "azure": azure, "gcs": gcs}
_ASK: dict[str, Any] = {"s3": partial(ask_signed, s3.base), "azure": partial(ask_signed, azure.base), "gcs": gcs.ask}
_FORBIDDEN = (401, 403)


@dataclass(frozen=True, slots=True)
class Bucket:
    """An open bucket: its client, its name, what messages call its server, and the codes that this kind of server has.

    `refused` are the codes for a bad key, `missing` those for a bucket that is not there. `ask` returns status and code
    of an answer to a request for an object, None where none comes.
    """

    store: ObjectStore
    name: str
    where: str
    refused: Sequence[str]
    missing: Sequence[str]
    ask: Callable[[str], Answer | None]

    @contextmanager
    def asked(self, url: str, key: str) -> Iterator[None]:
        """Translate what the client raises in a block that asks for an object; see `_fail`."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            self._fail(error, url, key)

    def _fail(self, error: Exception, url: str, key: str) -> NoReturn:
        """Fail with CON039 to CON042, DRV001, DRV037 or DRV038."""
        from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

        if isinstance(error, PreconditionError):
            fail("DRV038", path=url)
        told = self.ask(key)
        if told is None:
            fail("CON039", where=self.where, reason="it does not answer")
        status, code = told
        if code in self.missing:
            fail("CON041", where=self.where, bucket=self.name)
        if code in self.refused:
            fail("CON040", where=self.where, reason=code)
        if isinstance(error, FileNotFoundError):
            fail("DRV001", path=url)
        if status in _FORBIDDEN or isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            fail("DRV037", path=url, reason=code or "access denied")
        reason = f"status {status}" if status else "it does not say why to who has no key that signs"
        fail("CON042", where=self.where, reason=f"{code}, {reason}" if code else reason, path=url)


def open_bucket(family: str, fields: Mapping[str, JsonValue], name: str) -> Bucket:
    """Return a bucket of a connection; nothing is asked of the server yet. Fails with CON016."""
    from obstore.exceptions import BaseError

    kind = _KINDS[family]
    seconds = float(fields.get("read_timeout") or SILENCE)
    try:
        store = kind.open_bucket(fields, name)
    except BaseError:  # its words may have a part of the key in them
        fail("CON016", problem="the client does not take its fields: look at the form of endpoint and key")
    ask = partial(_ASK[family], store, fields, name, seconds)
    return Bucket(store, name, kind.where(fields), kind.REFUSED_KEY, kind.NO_BUCKET, ask)


def host_of(url: StoreUrl, fields: Mapping[str, JsonValue]) -> str:
    """Return the host that requests for an object go to; fails with CON016 for an endpoint that is none."""
    return str(_KINDS[url.family].host(fields, url.bucket))
