"""An open bucket of an object store, and what it means when something is refused there.

The client library has few kinds of errors, and says the rest in words. So what a server has against us is asked of the
server itself: a request whose answer has a status and a code.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from osiris.errors import fail
from osiris.families.stores.services import FORBIDDEN, SERVICES, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from obstore.store import ObjectStore

    from osiris.model import JsonValue
    from osiris.urls import StoreUrl


@dataclass(frozen=True, slots=True)
class Bucket:
    """An open bucket: its client, its name, what messages call its server, its service and the connection's fields."""

    store: ObjectStore
    name: str
    where: str
    service: Service
    fields: Mapping[str, JsonValue] = field(repr=False)

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
        address = self.service.address(self.fields, self.name)
        told = self.service.ask(self.store, address, self.fields, key)
        if told is None:
            fail("CON039", where=self.where, reason="it does not answer")
        status, code = told
        if code in self.service.missing:
            fail("CON041", where=self.where, bucket=self.name)
        if code in self.service.refused:
            fail("CON040", where=self.where, reason=code)
        if isinstance(error, FileNotFoundError):
            fail("DRV001", path=url)
        if status in FORBIDDEN or isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            fail("DRV037", path=url, reason=code or "access denied")
        fail("CON042", where=self.where, reason=_reason(status, code), path=url)


def _reason(status: int, code: str) -> str:
    reason = f"status {status}" if status else "it does not say why to who has no key that signs"
    return f"{code}, {reason}" if code else reason


def open_bucket(family: str, fields: Mapping[str, JsonValue], name: str) -> Bucket:
    """Return a bucket of a connection; nothing is asked of the server yet. Fails with CON016."""
    from obstore.exceptions import BaseError

    service = SERVICES[family]
    try:
        store = service.connect(fields, name)
    except BaseError:  # its words may have a part of the key in them
        fail("CON016", problem="the client does not take its fields: look at the form of endpoint and key")
    return Bucket(store, name, service.where(fields), service, fields)


def host_of(url: StoreUrl, fields: Mapping[str, JsonValue]) -> str:
    """Return the host that requests for an object go to; fails with CON016 for an endpoint that is none."""
    return urlsplit(SERVICES[url.family].address(fields, url.bucket)).hostname or ""
