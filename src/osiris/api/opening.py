"""Opening a project, and telling of the runs that were found to be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.api import workspace as inner
from osiris.project import find_project
from osiris.session import close_lost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue


def open_project(
    start: Path | None,
    environ: Mapping[str, str],
    profile: str | None = None,
    settings: Mapping[str, JsonValue] | None = None,
) -> Workspace:
    """Open the project at or above `start`; sessions whose process is gone get their end and their package.

    Whoever asked hears of it. `settings` are those of the command line, by key.

    Fails with PRJ001 if there is none, and as `load_config`.
    """
    lost = close_lost(find_project(start, environ))
    workspace = inner.open_project(start, environ, profile, settings)
    if lost:
        from osiris.api.openlineage import tell_lost
        from osiris.api.packages import package_sessions

        tell_lost(workspace, lost)
        package_sessions(workspace, [str(session["session"]) for session in lost])
    return workspace
