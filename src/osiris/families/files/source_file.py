"""Where the bytes of a file lie: on this machine, or in an object store. What reads files asks here for either."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.errors import OsirisError
from osiris.families.stores.objects import StoredFile
from osiris.files import READ_WHOLE, content_of, open_source

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


def state_of(files: Iterable[Place]) -> str | None:
    """Return a text that stays equal while names and contents of files do; None if one cannot be looked at.

    Files that are too large together are told by sizes and times, those of a store by sizes and ETags.
    """
    digest = hashlib.sha256()
    try:
        places = list(files)
        small = all(isinstance(place, Path) for place in places) and sum(map(size_of, places)) <= READ_WHOLE
        for place in places:
            digest.update((_content_of(place) if small else mark_of(place)).encode())
    except (OSError, OsirisError):
        return None
    return digest.hexdigest()


def _content_of(place: Place) -> str:
    with opened(place) as file:
        return f"{place}\0{content_of(file)}\0"


def local(places: Iterable[Place]) -> list[Path] | None:
    """Return files as paths, if all of them lie on this machine."""
    found = list(places)
    paths = [place for place in found if isinstance(place, Path)]
    return paths if len(paths) == len(found) else None
