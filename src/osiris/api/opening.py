"""Opens a project, and reports runs found to be lost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.api.workspace import Workspace
from osiris.config import load_config, read_config
from osiris.connections import load_env
from osiris.project import find_project
from osiris.registry import load_registry
from osiris.session.lost import close_lost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


def open_project(
    start: Path | None,
    environ: Mapping[str, str],
    profile: str | None = None,
    settings: Mapping[str, JsonValue] | None = None,
) -> Workspace:
    """Open the project at or above `start`, and change nothing in it.

    `settings` are those of the command line, by key. Fails with PRJ001 if there is no project, and as `load_config`.
    """
    project = find_project(start, environ)
    env = load_env(project.env_file, environ)
    return Workspace(project, load_config(project, env, profile, settings), load_registry(), env, profile)


def report_lost(workspace: Workspace) -> list[Diagnostic]:
    """Give lost runs their end, package, lineage events, notification and telemetry; returns warnings.

    Each is reported by the settings of its own profile. May ask a secret store for the address of a notification, and
    waits for receivers as the settings allow.
    """
    by_profile = defaultdict(list)
    for run in close_lost(workspace.project):
        by_profile[run.get("profile")].append(run)
    return [
        warning for profile, runs in by_profile.items() for warning in _report(_in_profile(workspace, profile), runs)
    ]


def _in_profile(workspace: Workspace, profile: str | None) -> Workspace:
    """Return a workspace with the settings of a profile, whatever profile the environment has."""
    if profile == workspace.config.profile:
        return workspace
    environ = {name: value for name, value in workspace.environ.items() if name != "OSIRIS_PROFILE"}
    config = load_config(workspace.project, environ, profile)
    return replace(workspace, config=config, environ=environ, profile=profile)


def _report(workspace: Workspace, runs: Sequence[Mapping[str, JsonValue]]) -> list[Diagnostic]:
    from osiris.api.notifications import notify_runs
    from osiris.api.openlineage import emit_lost
    from osiris.api.reports import package_sessions
    from osiris.api.telemetry import send_telemetry

    sessions = [str(run["session"]) for run in runs]
    return [
        *emit_lost(workspace, runs),
        *package_sessions(workspace, sessions),
        *notify_runs(workspace, sessions, _quietly),
        *send_telemetry(workspace, sessions, _quietly),
    ]


def _quietly(_event: dict[str, JsonValue]) -> None:
    """Take an event of progress, and show nothing."""


def open_to_explain(start: Path | None, environ: Mapping[str, str], profile: str | None = None) -> Workspace:
    """Open the project at or above `start` although settings are not valid, which `config.diagnostics` then says.

    Fails with PRJ001 if there is no project, and as `read_config`.
    """
    project = find_project(start, environ)
    env = load_env(project.env_file, environ)
    return Workspace(project, read_config(project, env, profile), load_registry(), env, profile)
