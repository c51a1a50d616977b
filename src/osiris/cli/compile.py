"""`osiris compile`: turn a pipeline into a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import FILE, PARAM, PROFILE, STRICT, again, answers, brief, opened
from osiris.cli.render import Answer

if TYPE_CHECKING:
    from osiris.api import Compiled, Workspace
    from osiris.cli.render import Line
    from osiris.model import Manifest

CHECK = click.option("--check", is_flag=True, help="Write nothing; say whether the plan on disk would change.")
DETAILED = click.option("--detailed-exitcode", is_flag=True, help="With --check: end with 5 if it would.")
OUT = click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write the plan there.")


@answers("compile", FILE, PARAM, PROFILE, CHECK, DETAILED, STRICT, OUT)
def command(
    file: str,
    params: dict[str, str],
    profile: str | None,
    check: bool,
    detailed_exitcode: bool,
    strict: bool,
    out: Path | None,
) -> Answer:
    """Check FILE, ask its sources for their schemas, and write the plan to build/."""
    if detailed_exitcode and not check:
        raise click.UsageError("--detailed-exitcode goes with --check")
    workspace = opened(profile)
    compiled = api.compile_file(workspace, file, params=params, strict=strict)
    if check:
        return _check(workspace, compiled, detailed=detailed_exitcode)
    path = api.save(workspace, compiled, out)
    diagnostics, more = brief(compiled.diagnostics, compiled.file)
    text: list[Line] = [
        [("ok", "compiled "), ("bold", f"{compiled.manifest.name} {compiled.manifest.short}")],
        f"  {path}",
        *more,
    ]
    # The pipeline's own profile is part of the plan; what the project says under that name is not.
    keep = ("profile",) if profile in workspace.config.profiles else ()
    follow_up = again(["osiris", "run", "--last-compile"], keep)
    return Answer({**plan_data(compiled.manifest), "manifest": path}, text, diagnostics, [follow_up])


def _check(workspace: Workspace, compiled: Compiled, *, detailed: bool) -> Answer:
    changes = api.changes_on_disk(workspace, compiled)
    state = "would change" if changes else "is as on disk"
    told, more = brief(compiled.diagnostics, compiled.file)
    text = [f"plan {compiled.manifest.name} {compiled.manifest.short} {state}", *more]
    diagnostics = [*told, *changes]
    data = {**plan_data(compiled.manifest), "changed": bool(changes)}
    return Answer(data, text, diagnostics, exit_code=None if detailed else 0)


def plan_data(manifest: Manifest) -> dict[str, object]:
    """Return what a plan is, as data."""
    steps = [
        {"id": s["id"], "component": s["component"], "needs": s["needs"], "schema": s["schema"], "order": s["order"]}
        for s in manifest.steps
    ]
    return {"name": manifest.name, "fingerprint": manifest.fingerprint, "short": manifest.short, "steps": steps}
