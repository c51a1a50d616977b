"""Where the bytes of a file lie: on this machine, or in an object store. What reads files asks here for either."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from osiris.families.stored import StoredFile
from osiris.files import open_source

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable

Place = Path | StoredFile


def opened(place: Place) -> io.RawIOBase:
    """Open a file for reading, without buffering; fails with DRV001, DRV003, DRV005 or DRV006."""
    return place.open() if isinstance(place, StoredFile) else open_source(place)


def size_of(place: Place) -> int:
    """Return the bytes of a file; raises OSError if it cannot be looked at."""
    return place.size if isinstance(place, StoredFile) else place.stat().st_size


def mark_of(place: Place) -> str:
    """Return a text that stays equal while name, size and time (or ETag) of a file do; raises OSError."""
    if isinstance(place, StoredFile):
        return f"{place}\0{place.size}\0{place.etag or place.modified}\0"
    seen = place.stat()
    return f"{place}\0{seen.st_size}\0{seen.st_mtime_ns}\0"


def local(places: Iterable[Place]) -> list[Path] | None:
    """Return files as paths, if all of them lie on this machine."""
    found = list(places)
    paths = [place for place in found if isinstance(place, Path)]
    return paths if len(paths) == len(found) else None
