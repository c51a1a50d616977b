"""A server of Google Cloud Storage: the local service in `gcs/`, with the methods that tests need of every store."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .gcs import start_gcs
from .objects import Objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .gcs import Service


@dataclass(frozen=True)
class Google(Objects):
    """A running service; `service` has more keys, and the faults."""

    service: Service
    family: str = "gcs"
    scheme: str = "gs"

    @property
    def port(self) -> int:
        """The port of the service."""
        return urlsplit(self.service.endpoint).port

    def fields(self, bucket: str | None = None, *, reader: bool = False, port: int | None = None) -> dict[str, object]:
        """Return the fields of a connection, the secret in plain text; `port` is that of a proxy."""
        named = {"bucket": bucket} if bucket else {}
        key = self.service.reader if reader else self.service.owner
        return {"endpoint": f"http://127.0.0.1:{port or self.port}", "service_account_key": key, **named}

    def wrong(self) -> dict[str, str]:
        """Return fields with a key that is rejected."""
        return {"service_account_key": self.service.forged}

    def new_bucket(self) -> str:
        """Make a bucket."""
        return self.service.new_bucket()

    def unfinished(self, bucket: str) -> list[str]:
        """Return the uploads that were begun and neither completed nor aborted."""
        return self.service.unfinished(bucket)

    def secrets(self) -> list[str]:
        """Return the secrets that must never be shown: the lines of the private key."""
        pem = json.loads(self.service.owner)["private_key"]
        return [line for line in pem.splitlines() if line and not line.startswith("-")]


@contextmanager
def start_google() -> Iterator[Google]:
    """Yield a service that runs until the block ends."""
    with start_gcs() as service:
        yield Google(service)
