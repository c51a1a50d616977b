"""A server of S3 in a temporary folder: SeaweedFS, which checks signatures and permissions."""

from __future__ import annotations

import itertools
import json
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from .objects import Objects
from .process import free_port, make_place, running

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = ("OWNERKEY", "owner's secret/+&=% 1")
READER = ("READERKEY", "reader's secret/+&=% 2")


@dataclass(frozen=True)
class S3(Objects):
    """A running server, with an owner and a read-only user, each with a key."""

    port: int
    filer: int
    family: str = "s3"
    scheme: str = "s3"
    _numbers: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)

    def fields(self, bucket: str | None = None, *, reader: bool = False, port: int | None = None) -> dict[str, object]:
        """Return the fields of a connection, the secret in plain text; `port` is that of a proxy."""
        key, secret = READER if reader else OWNER
        named = {"bucket": bucket} if bucket else {}
        endpoint = f"http://127.0.0.1:{port or self.port}"
        return {"endpoint": endpoint, "access_key_id": key, "secret_access_key": secret, **named}

    def wrong(self) -> dict[str, str]:
        """Return fields with a key that is rejected."""
        return {"secret_access_key": "wrong"}

    def new_bucket(self) -> str:
        """Make a bucket."""
        name = f"bucket-{next(self._numbers)}"
        httpx.post(f"http://127.0.0.1:{self.filer}/buckets/{name}/").raise_for_status()
        return name

    def unfinished(self, bucket: str) -> list[str]:
        """Return the uploads that were begun and neither completed nor aborted."""
        there = f"http://127.0.0.1:{self.filer}/buckets/{bucket}/.uploads/"
        answer = httpx.get(there, headers={"Accept": "application/json"})
        return [] if answer.status_code == 404 else [each["FullPath"] for each in answer.json()["Entries"] or ()]


@contextmanager
def start_s3() -> Iterator[S3]:
    """Yield a server that runs until the block ends."""
    place = make_place("s3")
    people = [("owner", OWNER, ["Admin", "Read", "Write", "List"]), ("reader", READER, ["Read", "List"])]
    told = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, (key, secret), actions in people
    ]
    config = place.write("s3.json", json.dumps({"identities": told}))
    filer = free_port()

    def command(port: int) -> list[str | Path]:
        ports = {"master.port": free_port(), "volume.port": free_port(), "filer.port": filer, "s3.port": port}
        ports |= {"s3.port.iceberg": 0, "s3.port.lance": 0} | {f"{name}.grpc": free_port() for name in ports}
        plain = ["-filer", "-s3", "-s3.autoCreateBucket=false", "-s3.iam=false", "-master.telemetry=false"]
        sizes = ["-volume.max=5000", "-master.volumeSizeLimitMB=64", f"-s3.config={config}", f"-dir={place.folder}"]
        own = [f"-{name}={number}" for name, number in ports.items()]
        weed = Path(sys.executable).parent / "weed"
        return [weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *plain, *sizes, *own]

    def answers(port: int) -> bool:
        from obstore.exceptions import BaseError

        server = S3(port, filer)
        try:
            httpx.post(f"http://127.0.0.1:{filer}/buckets/first/")
            server.put("first", "first", b"1")
        except (httpx.TransportError, BaseError):
            return False
        return True

    with running(place, command, signal.SIGKILL, answers) as port:
        yield S3(port, filer)
