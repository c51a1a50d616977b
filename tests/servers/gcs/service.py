"""The service as a whole: its folder, its accounts, and methods for tests."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .accounts import RIGHTS, Accounts, secret
from .faults import Faults
from .store import Store
from .web import Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from obstore.store import GCSStore

    from .web import Seen

PATIENCE = 30.0
SWEEPER = Path(__file__).parents[1] / "e2b/sweeper.py"


class Service:
    """The result of `start_gcs`; `faults` and `requests` may be used from any thread while it runs."""

    def __init__(self, folder: Path, buckets: Sequence[str]) -> None:
        self.folder, self.faults = folder, Faults()
        self._numbers = itertools.count()
        self._store, self._accounts = Store(folder), Accounts(self.faults)
        for name in buckets:
            self.new_bucket(name)
        self._server = Server(self._store, self._accounts, self.faults)
        self._accounts.endpoint = self.endpoint

    @property
    def endpoint(self) -> str:
        """The URL in front of a bucket's name."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> list[Seen]:
        """All requests up to now, the oldest first."""
        return self._server.requests

    @property
    def bugs(self) -> list[str]:
        """Requests that this service does not support, and its own failures."""
        return self._server.bugs

    @property
    def page_size(self) -> int:
        """Entries of a page of a list: at most so many, whatever is asked for."""
        return self._store.page_size

    @page_size.setter
    def page_size(self, size: int) -> None:
        self._store.page_size = size

    @property
    def owner(self) -> str:
        """The key of an account that may do everything, as JSON."""
        return self.key(*RIGHTS)

    @property
    def reader(self) -> str:
        """The key of an account that may read and list."""
        return self.key("get", "list")

    @property
    def creator(self) -> str:
        """The key of an account that may create objects, but neither replace nor read them."""
        return self.key("create")

    @property
    def nobody(self) -> str:
        """The key of an account that exists and has no rights."""
        return self.key()

    @property
    def forged(self) -> str:
        """The owner's key with a secret that is not the owner's."""
        return self._accounts.account(RIGHTS).key(self.endpoint, base_url=True, private=secret("forger"))

    def key(self, *rights: str, base_url: bool = True) -> str:
        """Return the key of an account with these rights: get, list, create, delete."""
        return self._accounts.account(rights).key(self.endpoint, base_url=base_url)

    def store(self, bucket: str, key: str | None = None, *, retries: int = 2, **options: Any) -> GCSStore:
        """Return a client of obstore for a bucket, with the owner's key; `options` are those of its HTTP."""
        from obstore.store import GCSStore

        again = {"max_retries": retries, "retry_timeout": timedelta(seconds=20)}
        plain = {"allow_http": True, "timeout": "20s", **options}
        return GCSStore(bucket, service_account_key=key or self.owner, retry_config=again, client_options=plain)

    def new_bucket(self, name: str | None = None) -> str:
        """Make a bucket and return its name."""
        name = name or f"bucket-{next(self._numbers)}"
        self._store.buckets[name] = {}
        return name

    def put(self, bucket: str, name: str, content: bytes) -> int:
        """Write an object, ignoring rights and faults; return its generation."""
        blob = self._store.receive([content])
        return self._store.commit(bucket, name, blob, {}, lambda _before: None).generation

    def get(self, bucket: str, name: str) -> bytes:
        """Return the bytes of an object. Raises `KeyError`."""
        return self._store.buckets[bucket][name].blob.path.read_bytes()

    def generation(self, bucket: str, name: str) -> int:
        """Return the generation of an object. Raises `KeyError`."""
        return self._store.buckets[bucket][name].generation

    def keys(self, bucket: str) -> list[str]:
        """Return the names of all objects, sorted."""
        return sorted(self._store.buckets[bucket])

    def unfinished(self, bucket: str) -> list[str]:
        """Return the names of multipart uploads that were begun and neither completed nor aborted."""
        return [upload.name for upload in list(self._store.uploads.values()) if upload.bucket == bucket]

    def stop(self) -> None:
        """End the service and all connections."""
        self._server.stop()


@contextmanager
def start_gcs(buckets: Sequence[str] = ()) -> Iterator[Service]:
    """Serve until the block ends. Raises `AssertionError` then if a request came that it was not written for."""
    with _swept_folder() as folder:
        service = Service(folder, buckets)
        try:
            yield service
        finally:
            service.stop()
        if service.bugs:
            raise AssertionError(
                "the local Google Cloud Storage met what it does not know:\n" + "\n".join(service.bugs)
            )


@contextmanager
def _swept_folder() -> Iterator[Path]:
    """A folder that is removed with the block, or with this process if that is killed."""
    folder = Path(tempfile.mkdtemp(prefix="osiris-gcs-"))
    command = [sys.executable, "-I", str(SWEEPER), str(folder)]
    sweeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield folder
    finally:
        sweeper.stdin.close()
        sweeper.wait(PATIENCE)
