"""What runs a run: the versions that may change what comes out of it, as they are here and now."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from osiris.distribution import DISTRIBUTION, installed_version

if TYPE_CHECKING:
    from osiris.model import JsonValue, Manifest


def environment_of(manifest: Manifest) -> dict[str, JsonValue]:
    """Return the versions of Osiris, of Python and of the engines that the plan pins, and the kind of machine.

    An engine that is not installed is None. Nothing names the machine, its user or its folders.
    """
    return {
        "osiris": installed_version(DISTRIBUTION),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "engines": {name: installed_version(name) for name in sorted(manifest.data["engines"])},
    }
