"""A published folder: files and one manifest, which is put in its place last, and tells what the folder holds.

Who reads by the manifest sees what was there, or what is there now, and nothing in between. It is replaced on the
condition that it is still the one that the writer found: of two writers one wins. What the manifest does not name any
more is removed; what is not ours, or belongs to a folder that is published below this one, never.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from osiris.canonical import sha256_hex
from osiris.delivery import MANIFEST, MOST_FILES, MOST_MANIFEST, OURS, DeliveredFile, FolderManifest, parse_manifest
from osiris.errors import OsirisError, fail
from osiris.families.files.partitions import is_value, values_of
from osiris.families.files.source_files import size_of
from osiris.files import Output, fail_os

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.families.files.folders import Folder
    from osiris.families.files.source_files import Place
    from osiris.model import JsonValue, Schema

AT_ONCE = 4
"""Files that are put in their place at a time, if they are small."""

SMALL = 8 << 20
_POLL = 0.1
_ATTEMPTS = 3


class Staging:
    """The files of a folder on their way: each is written whole below `root`, and gets its name from its bytes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[DeliveredFile] = []

    def add(self, folder: str, number: int, write: Callable[[Output], object]) -> None:
        """Have a file written into a folder; fails with DRV004 or DRV006, and DRV048 for one file too many."""
        if len(self.files) == MOST_FILES:
            fail("DRV048", limit=f"{MOST_FILES:,}")
        path = self.root / folder
        try:
            path.mkdir(parents=True, exist_ok=True)
            with (path / "unnamed").open("wb", buffering=0) as raw:
                staged = Output(raw.fileno(), path, fail_os)
                write(staged)
            sha256 = staged.sha256
            name = f"part-{number:05}-{sha256[:32]}.osiris.parquet"
            (path / "unnamed").rename(path / name)
        except OSError as error:
            fail_os(error, path)
        self.files.append(DeliveredFile(f"{folder}/{name}" if folder else name, staged.written, sha256))


def look(folder: Folder) -> JsonValue:
    """Return which manifest a folder has that is to be written, None for none.

    Fails with DRV045 if it has no manifest of ours, and files that are not ours, and with DAT045 if the manifest is
    none.
    """
    found = folder.manifest()
    if found:
        parse_manifest(found.content, folder.label(MANIFEST))
        return found.version
    there = folder.sizes()
    foreign = min(there.keys() - _parts(there), default=None)
    if foreign:
        fail("DRV045", path=folder.label(""), example=ascii(foreign)[1:-1][:200])
    return None


def _parts(there: Iterable[str]) -> set[str]:
    """Return which files can only be of this folder: they lie in folders of values, and none of these is published."""
    others = tuple(path.removesuffix(MANIFEST) for path in there if path.endswith(f"/{MANIFEST}"))
    return {path for path in there if _is_part(path) and not path.startswith(others)}


def _is_part(path: str) -> bool:
    *folders, name = path.split("/")
    return OURS.fullmatch(name) is not None and all(map(is_value, folders))


def publish(folder: Folder, before: JsonValue, staged: Path, manifest: FolderManifest) -> Mapping[str, JsonValue]:
    """Put the files of a manifest, which lie below `staged`, into a folder, then the manifest; remove what is left.

    `before` is what `look` said. Returns path, size, SHA-256 (of the manifest) and, in a store, ETag. Fails with DRV046
    if another has published there, DRV048 if nobody would read so large a manifest, and with what stands in the way;
    then what was there stays.
    """
    content = manifest.to_bytes()
    if len(content) > MOST_MANIFEST:
        fail("DRV048", limit=f"{MOST_MANIFEST:,} bytes of names of")
    names = {file.path for file in manifest.files}
    with ExitStack() as undoing:
        undoing.callback(_take_back, folder, names)
        _put_all(folder, staged, manifest.files)
        with folder.alone():
            there = folder.sizes()
            if any(there.get(file.path) != file.size for file in manifest.files):
                fail("DRV046", path=folder.label(""))
            etag = folder.replace_manifest(content, before)
            undoing.pop_all()
            folder.remove(_parts(there) - names)
    told = {"path": folder.label(""), "size": manifest.size + len(content), "sha256": sha256_hex(content)}
    return told | ({"etag": etag} if etag else {})


def _put_all(folder: Folder, staged: Path, files: Sequence[DeliveredFile]) -> None:
    """Put files in their places: large ones one by one, as each of them goes up in parts, and small ones several."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="publish") as pool:
        small = [pool.submit(folder.put, staged / file.path, file.path) for file in files if file.size <= SMALL]
        try:
            for file in files:
                if file.size > SMALL:
                    folder.put(staged / file.path, file.path)
            while wait(small, _POLL).not_done:  # so that a request to stop is noticed
                pass
        finally:
            pool.shutdown(cancel_futures=True)
        for done in small:
            done.result()


def _take_back(folder: Folder, names: set[str]) -> None:
    """Remove what was put into a folder in vain, but for what its manifest names; what cannot be removed, is left."""
    with suppress(OsirisError), folder.alone():
        found = folder.manifest()
        named = parse_manifest(found.content, MANIFEST).files if found else ()
        folder.remove(names - {file.path for file in named})


@dataclass(frozen=True, slots=True)
class Published:
    """What a published folder holds, as it is now.

    `values` has, for each file, the values of the columns that the folders of its path tell; `places` has where each
    file lies, and the manifest.
    """

    manifest: FolderManifest
    values: Mapping[str, Mapping[str, pa.Scalar]]
    places: Mapping[str, Place]


def open_published(folder: Folder) -> Published:
    """Return what a folder holds; all files are there, with the size that the manifest says.

    Fails with DRV001 without a manifest, DAT045 for one that is none, DAT046 if a file is missing or another one, and
    DRV038 if others publish there again and again.
    """
    for _ in range(_ATTEMPTS):
        found = folder.manifest()
        if not found:
            hint = "name the files of a folder that Osiris did not write; what only names of folders tell is not read"
            fail("DRV001", path=folder.label(MANIFEST), hint=hint)
        manifest = parse_manifest(found.content, folder.label(MANIFEST))
        values = _values(manifest, folder.label(MANIFEST))
        wanted = {file.path: file.size for file in manifest.files}
        places = folder.places((MANIFEST, *wanted))
        wrong = next(_wrong(wanted, places), None)
        if not wrong:
            return Published(manifest, values, places)
    if folder.manifest() != found:
        fail("DRV038", path=folder.label(MANIFEST))
    return fail("DAT046", file=folder.label(MANIFEST), problem=wrong)


def _values(manifest: FolderManifest, name: str) -> dict[str, dict[str, pa.Scalar]]:
    """Return what the paths of files tell; fails with DAT045 for a folder that no value has."""
    kinds = {column.name: column.type for column in manifest.schema}
    types = {column: kinds[column] for column in manifest.partition_by}
    try:
        return {file.path: values_of(file.path.split("/")[:-1], types) for file in manifest.files}
    except (ValueError, pa.ArrowException) as error:
        fail("DAT045", file=name, problem=f"a folder in it has no value: {ascii(str(error))[1:200]}")


def _wrong(wanted: Mapping[str, int], places: Mapping[str, Place]) -> Iterator[str]:
    for path, size in wanted.items():
        there = _size(places[path]) if path in places else None
        if there is None:
            yield f"{path}, which is not there"
        elif there != size:
            yield f"{path} with {size:,} bytes, and it has another size"


def _size(place: Place) -> int | None:
    """Return the bytes of a file; None if it is gone since it was found."""
    with suppress(FileNotFoundError):
        return size_of(place)
    return None


def schema_of_files(schema: Schema, partition_by: Sequence[str]) -> Schema:
    """Return the columns that the files themselves have."""
    return tuple(column for column in schema if column.name not in partition_by)
