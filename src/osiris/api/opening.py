"""Opens a project, and reports runs found to be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.api.workspace import Workspace
from osiris.config import load_config
from osiris.connections import load_env
from osiris.project import find_project
from osiris.registry import load_registry
from osiris.session.lost import close_lost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from osiris.model import JsonValue


def open_project(
    start: Path | None,
    environ: Mapping[str, str],
    profile: str | None = None,
    settings: Mapping[str, JsonValue] | None = None,
) -> Workspace:
    """Open the project at or above `start`; lost sessions get their end, package, lineage events and notification.

    `settings` are those of the command line, by key. Fails with PRJ001 if there is no project, and as `load_config`.
    """
    project = find_project(start, environ)
    lost = close_lost(project)
    env = load_env(project.env_file, environ)
    workspace = Workspace(project, load_config(project, env, profile, settings), load_registry(), env, profile)
    if lost:
        from osiris.api.notifications import notify_runs
        from osiris.api.openlineage import emit_lost
        from osiris.api.reports import package_sessions
        from osiris.api.telemetry import send_telemetry

        sessions = [str(session["session"]) for session in lost]
        emit_lost(workspace, lost)
        package_sessions(workspace, sessions)
        notify_runs(workspace, sessions)
        send_telemetry(workspace, sessions)
    return workspace
