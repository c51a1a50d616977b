"""`osiris validate`: check pipelines without reading any source."""

from __future__ import annotations

import click

from osiris import api
from osiris.cli.command import PARAM, PROFILE, again, answers, opened
from osiris.cli.figures import count
from osiris.cli.render import Answer


@answers("validate", click.argument("files", metavar="[FILE...]", nargs=-1), PARAM, PROFILE)
def command(files: tuple[str, ...], params: dict[str, str], profile: str | None) -> Answer:
    """Check pipelines, all of pipelines/ if none is named, without reading any source or secret."""
    workspace = opened(profile)
    results = api.validate_files(workspace, files, params=params)
    good = [r for r in results if r.ok]
    text = [f"{r.file}: ok, {count(len(r.steps), 'step')}" for r in good]
    diagnostics = [*workspace.config.diagnostics, *(d for r in results for d in r.diagnostics)]
    one = len(results) == len(good) == 1
    follow_up = [again(["osiris", "compile", good[0].file], ("params", "profile"))] if one else []
    return Answer(api.validated_data(results), text, diagnostics, follow_up)
