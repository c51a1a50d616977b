"""A folder of an object store that is published: all keys that begin alike, and one of them tells what is there."""

from __future__ import annotations

import shutil
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from osiris.delivery import MANIFEST, MOST_MANIFEST
from osiris.errors import OsirisError, fail
from osiris.families.files.local_folder import FoundManifest
from osiris.families.stores.bucket import Bucket, open_bucket
from osiris.families.stores.objects import StoredFile, Upload, below
from osiris.fault import fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.model import JsonValue
    from osiris.urls import StoreUrl

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """The objects whose keys begin as `url` does, which ends with a slash."""

    bucket: Bucket
    url: StoreUrl

    @classmethod
    def of(cls, ctx: StepContext, url: StoreUrl) -> StoredFolder:
        """Return the folder that a URL names; nothing is asked of the server yet. Fails with CON016."""
        return cls(open_bucket(url.family, ctx.connection, url.bucket), url)

    def label(self, name: str) -> str:
        """Return the URL of an object in it; that of the folder itself for no name."""
        return str(self._at(name))

    def _at(self, name: str) -> StoreUrl:
        return replace(self.url, key=f"{self.url.key}{name}")

    def manifest(self) -> FoundManifest | None:
        """Return the manifest, None if there is none; fails with DRV037, CON039 to CON042."""
        import obstore

        url = self._at(MANIFEST)
        try:
            with self.bucket.asked(str(url), url.key):
                found = obstore.get(self.bucket.store, url.key)
                if found.meta["size"] > MOST_MANIFEST:
                    return FoundManifest(bytes(MOST_MANIFEST + 1), None)
                return FoundManifest(bytes(found.bytes()), _version(found.meta))
        except OsirisError as error:
            if error.diagnostics[0].code == "DRV001":
                return None
            raise

    def sizes(self) -> dict[str, int]:
        """Return the size of each object in it, but for the manifest."""
        return {name: file.size for name, file in self._listed().items() if name != MANIFEST}

    def _listed(self) -> dict[str, StoredFile]:
        start = len(self.url.key)
        return {
            file.url.key[start:]: file for file in below(self.bucket, self.url) if file.url.key[:start] == self.url.key
        }

    def places(self, names: Iterable[str]) -> Mapping[str, StoredFile]:
        """Return those of the objects that are there."""
        there = self._listed()
        return {name: there[name] for name in names if name in there}

    def put(self, source: Path, name: str) -> None:
        """Make an object of a file; fails with what the store has against it."""
        upload = Upload(self.bucket, self._at(name))
        try:
            with source.open("rb") as file:
                shutil.copyfileobj(file, upload, _PIECE)
            upload.finish()
        finally:
            upload.end()

    def alone(self) -> AbstractContextManager[None]:
        """Return a block that keeps nobody out: here the condition on the manifest must do."""
        return nullcontext()

    def replace_manifest(self, content: bytes, version: JsonValue) -> str:
        """Put a manifest in the place of that version, None for none; fails with DRV046 if that is another by now.

        Returns the new ETag.
        """
        found = self.manifest()
        if (found.version if found else None) != version:
            fail("DRV046", path=self.label(""))
        etag = self._put_manifest(content, version or "create")
        fault("folder.manifest_put")
        if etag is None:
            # The client asks again where an answer is lost, and the condition then fails on what it has put itself.
            found = self.manifest()
            if found is None or found.content != content:
                fail("DRV046", path=self.label(""))
            etag = found.version.get("e_tag")
        return str(etag)

    def _put_manifest(self, content: bytes, mode: Any) -> str | None:  # noqa: ANN401  the client's, or a version
        """Put a manifest on a condition, and return its ETag; None where the condition fails."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        url = self._at(MANIFEST)
        fault("folder.put_manifest")
        with self.bucket.asked(str(url), url.key):
            try:
                return obstore.put(self.bucket.store, url.key, content, mode=mode, use_multipart=False)["e_tag"]
            except (AlreadyExistsError, PreconditionError):
                return None

    def remove(self, names: Collection[str]) -> None:
        """Remove objects; one that is not there is none of our concern."""
        keys = [self._at(name).key for name in sorted(names)]
        with self.bucket.asked(str(self.url), self.url.key):
            try:
                self._delete(keys)
            except FileNotFoundError:  # where a store minds, one of them keeps others from being removed
                for key in keys:
                    with suppress(FileNotFoundError):
                        self._delete([key])

    def _delete(self, keys: list[str]) -> None:
        import obstore

        if keys:
            fault("folder.delete")
            obstore.delete(self.bucket.store, keys)


def _version(meta: Mapping[str, Any]) -> JsonValue:
    """Return which state of an object this is: by its ETag, and by its generation where a store asks for that."""
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}
