"""The scrubber of a project: the last line of defence for what an agent gets to see."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from osiris.config import PROVIDERS
from osiris.connections import environment_names
from osiris.errors import OsirisError
from osiris.secret import Scrubber, Secret, sounds_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.api.workspace import Workspace


def project_scrubber(workspace: Workspace) -> Scrubber:
    """Return a scrubber for the secrets of all declared connections and the keys of models, as far as they are set.

    Values of other variables are known by their names: those that connections use, and parameters.
    """
    return Scrubber(map(Secret, {*_resolved(workspace), *_by_name(workspace)}))


def _resolved(workspace: Workspace) -> Iterator[str]:
    from osiris.runner.credentials import resolve_secrets

    with suppress(OsirisError):
        for family, aliases in workspace.connections().declared.items():
            for alias, fields in aliases.items():
                with suppress(OsirisError):
                    found = resolve_secrets(
                        workspace.root, {f"@{family}.{alias}": fields}, (), workspace.registry, workspace.environ
                    )
                    yield from (text for group in found.secret.values() for text in group.values())


def _by_name(workspace: Workspace) -> Iterator[str]:
    """Yield the values of variables that hold keys of models, or whose names say that they are secret."""
    keys = {variable for variables in PROVIDERS.values() for variable in variables}
    keys |= {variable} if (variable := workspace.config.get("chat.api_key")) else set()
    yield from (workspace.environ[name] for name in keys if workspace.environ.get(name))
    with suppress(OsirisError):
        names = {*environment_names(dict(workspace.connections().declared))}
        names |= {name for name in workspace.environ if name.startswith("OSIRIS_PARAM_")}
        yield from (workspace.environ[name] for name in names if sounds_secret(name) and workspace.environ.get(name))
