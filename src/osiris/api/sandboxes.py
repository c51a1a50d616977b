"""Sandboxes of E2B: those that runs have made, and the template that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.project_lock import hold_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.api.workspace import Workspace


def list_sandboxes(workspace: Workspace) -> list[dict[str, str]]:
    """Return the sandboxes of runs that live, of all projects: `id`, `template`, `started_at`, `folder`, `session`.

    `folder` is the name of the project's folder; both are empty where a sandbox does not tell.
    Fails with SBX020, SBX021 or SBX022.
    """
    from osiris.runner.remote.e2b import list_sandboxes as found

    return found(workspace.environ)


def end_sandboxes(workspace: Workspace, *, dry_run: bool = False) -> list[str]:
    """End the sandboxes of this project, in which no run may be under way, and return their ids.

    Fails as `list_sandboxes`, and with RUN004 while a run goes on here.
    """
    from osiris.runner.remote.e2b import kill_sandbox
    from osiris.runner.remote.e2b import list_sandboxes as listed

    with hold_project(workspace.project, "sandboxes gc"):
        found = [sandbox["id"] for sandbox in listed(workspace.environ, workspace.root)]
        return [number for number in found if dry_run or kill_sandbox(workspace.environ, number)]


def build_template(workspace: Workspace, tell: Callable[[str], None]) -> str:
    """Build the template of this version unless it is there, and return its name; `tell` gets what the build says.

    Fails with SBX020, SBX021 or SBX022.
    """
    from osiris.runner.remote.e2b import build_template as build

    return build(workspace.config, workspace.environ, tell)
