"""What the outputs of a plan are, read back before anybody says yes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.compare import OutputText


def outputs_of(
    workspace: Workspace, compiled: Compiled, keys: Mapping[str, Sequence[Sequence[str]]] | None = None
) -> tuple[OutputText, ...]:
    """Return in plain words what each output of a plan is; nothing is run, and no source is asked.

    `keys` are the primary keys of sources by the steps that read them, where the caller knows them; else those that
    discovery has seen are taken.
    """
    from osiris.compare import read_back

    return read_back(compiled.manifest, seen_keys(workspace, compiled) if keys is None else keys)


def seen_keys(workspace: Workspace, compiled: Compiled) -> dict[str, list[tuple[str, ...]]]:
    """Return the primary keys that discovery has seen of the sources of a plan, by the steps that read them."""
    from osiris.discovery.feed import recall

    pins = compiled.sources.pins
    seen = recall(workspace.project, {pin.source.key for pin in pins.values()})
    found = {step: seen[pin.source.key].primary_key for step, pin in pins.items() if pin.source.key in seen}
    return {step: [key] for step, key in found.items() if key}
