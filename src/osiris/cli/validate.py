"""`osiris validate`: check pipelines without reading any source."""

from __future__ import annotations

import click

from osiris import api
from osiris.cli.command import PARAM, PROFILE, answers, opened
from osiris.cli.render import Answer


@answers("validate", click.argument("files", metavar="[FILE...]", nargs=-1), PARAM, PROFILE)
def command(files: tuple[str, ...], params: dict[str, str], profile: str | None) -> Answer:
    """Check pipelines, all of pipelines/ if none is named, without reading any source or secret."""
    workspace = opened(profile)
    results = api.validate_files(workspace, files, params=params)
    good = [r for r in results if r.ok]
    text = [f"{r.file}: ok, {len(r.steps)} steps" for r in good]
    data = [{"file": r.file, "ok": r.ok, "name": r.name, "steps": list(r.steps)} for r in results]
    diagnostics = [*workspace.config.diagnostics, *(d for r in results for d in r.diagnostics)]
    follow_up = [f"osiris compile {good[0].file}"] if len(results) == len(good) == 1 else []
    return Answer({"files": data}, text, diagnostics, follow_up)
