"""A server of Azure Blob Storage in a temporary folder: Azurite, from the lock file beside this file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import shutil
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx

from .objects import Objects
from .process import make_place, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parent / "azurite/node_modules/azurite/dist/src/blob/main.js"
ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"a key of 32 bytes and some more" * 2).decode()
_VERSION = "2021-08-06"


@dataclass(frozen=True)
class Azurite(Objects):
    """A running server with one account."""

    port: int
    family: str = "azure"
    scheme: str = "az"
    _numbers: Iterator[int] = field(default_factory=itertools.count, compare=False, repr=False)

    def fields(self, bucket: str | None = None, *, port: int | None = None) -> dict[str, object]:
        """Return the fields of a connection, the secret in plain text; `port` is that of a proxy."""
        named = {"bucket": bucket} if bucket else {}
        endpoint = f"http://127.0.0.1:{port or self.port}/{ACCOUNT}"
        return {"endpoint": endpoint, "account": ACCOUNT, "account_key": KEY, **named}

    def wrong(self) -> dict[str, str]:
        """Return fields with a key that is rejected."""
        return {"account_key": "V3JvbmcgYW5kIHdyb25nIGFnYWlu"}

    def new_bucket(self) -> str:
        """Create a container: the client library cannot."""
        name, date = f"container-{next(self._numbers)}", formatdate(usegmt=True)
        path = f"{ACCOUNT}/{name}"
        signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{_VERSION}\n/{ACCOUNT}/{path}\nrestype:container"
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        mark = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        headers = {"x-ms-date": date, "x-ms-version": _VERSION, "Authorization": mark}
        url = f"http://127.0.0.1:{self.port}/{path}?restype=container"
        httpx.put(url, headers=headers).raise_for_status()
        return name

    def token(self, bucket: str, rights: str) -> str:
        """Return a shared access signature for a container, which is valid for an hour."""
        now = datetime.now(UTC)
        starts, ends = (f"{now + timedelta(minutes=m):%Y-%m-%dT%H:%M:%SZ}" for m in (-5, 60))
        resource = f"/blob/{ACCOUNT}/{bucket}"
        signed = "\n".join([rights, starts, ends, resource, "", "", "", _VERSION, "c", *[""] * 7])
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        fields = {"sp": rights, "st": starts, "se": ends, "sr": "c", "sv": _VERSION}
        return urlencode({**fields, "sig": base64.b64encode(digest).decode()})


@contextmanager
def start_azurite() -> Iterator[Azurite]:
    """Yield a server that runs until the block ends."""
    if not PROGRAM.exists():
        raise RuntimeError("Azurite is not installed: run `sh tools/npm.sh tests/servers/azurite`")
    place = make_place("azurite")
    node, own = shutil.which("node"), json.dumps(str(PROGRAM))
    account = json.dumps(f"{ACCOUNT}:{KEY}")  # it takes its accounts from the environment only
    start = f"process.env.AZURITE_ACCOUNTS={account}; process.argv.splice(1, 0, {own}); require({own})"

    def command(port: int) -> list[str | Path]:
        plain = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobHost", "127.0.0.1"]
        return [node, "-e", start, "--", *plain, "--location", place.folder, "--blobPort", str(port)]

    def answers(port: int) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{port}/")
        except httpx.TransportError:
            return False
        return True

    with running(place, command, signal.SIGTERM, answers) as port:
        yield Azurite(port)
