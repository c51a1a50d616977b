"""What runs have seen of sources that a compile does not look at."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from osiris.errors import diagnostic
from osiris.session import iter_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.api.pipelines import Compiled
    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

_RECENT = 50
"""So many sessions are looked at for the newest run of a pipeline."""

_SECONDS = len("2026-01-01T00:00:00")


def known_drift(workspace: Workspace, compiled: Compiled) -> list[Diagnostic]:
    """Return DAT036 for each source that was not looked at, and that the newest run did not find as it is pinned."""
    recent = islice(iter_sessions(workspace.project), _RECENT)
    own = (run for run in recent if (run.get("kind"), run.get("pipeline")) == ("run", compiled.manifest.name))
    run = next(own, None)
    return list(_differing(compiled, run)) if run else []


def _differing(compiled: Compiled, run: Mapping[str, JsonValue]) -> Iterator[Diagnostic]:
    sources, pipeline = compiled.sources, compiled.pipeline
    changed = [told["message"] for told in run["diagnostics"] if told["code"] == "DAT011"]
    for step in sorted(sources.pins.keys() - sources.asked.keys()):
        start, pin = f"step '{step}': ", sources.pins[step]
        told = ", ".join(message.removeprefix(start) for message in changed if message.startswith(start))
        if told and run["started_at"][:_SECONDS] >= pin.pinned_at[:_SECONDS]:
            what = {"source": pin.source, "session": run["session"], "file": compiled.file}
            yield diagnostic("DAT036", at=pipeline.where(pipeline.step(step).pointer), problem=told, **what)
