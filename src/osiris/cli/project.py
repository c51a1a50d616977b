"""`osiris init` and `demo` lay out a project; `config` explains its settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import PROFILE, answers, console, noun, opened, start_folder
from osiris.cli.progress import watch
from osiris.cli.render import Answer, diagnostic_lines, table
from osiris.config import KEYS
from osiris.errors import InvalidInput, OsirisError, exit_code, fail, raise_all
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from osiris.api import Workspace
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.runner.host.run import RunResult


@answers("init", click.argument("folder", metavar="[DIR]", default=".", type=click.Path(path_type=Path)))
def init(folder: Path) -> Answer:
    """Create a new project.

    DIR defaults to the current folder. The project contains a working example pipeline.
    """
    files = api.lay_out("init", folder)
    wired, notes = api.wire_editor(folder)
    files += wired
    go = [] if folder == Path() else [f"cd {folder}"]
    text = [f"new project in {folder}", *(f"  {name}" for name in files)]
    return Answer(
        {"dir": str(folder), "files": files},
        text,
        notes,
        next=[*go, "osiris compile pipelines/example.yaml", "osiris run --last-compile"],
    )


PIPELINE = "pipelines/delays.yaml"
MISSPELT = "broken/misspelt_column.yaml"
TAMPERED = "broken/manifest.json"
GOOD_COLUMN, BAD_COLUMN = "avg(dep_delay)", "avg(dep_dealy)"
FOLDER = click.argument("folder", metavar="[DIR]", default="osiris-demo", type=click.Path(path_type=Path))


@answers("demo", FOLDER)
def demo(folder: Path) -> Answer:
    """Create a project on real data and show what Osiris proves.

    DIR defaults to osiris-demo. The data are flights from New York. It needs no network and no API key.
    """
    api.lay_out("demo", folder)
    os.chdir(folder)
    console().root = Path()
    workspace = api.open_project(Path(), {})
    _say(f"A project on real data: flights from New York in January 2013, in {folder}", f"cd {folder}")
    manifest = _compile(workspace)
    caught = _break_pipeline(workspace)
    sessions = [_run(workspace), _run(workspace, again=True)]
    same = _verify(workspace, sessions)
    refused = _tamper(workspace, manifest)
    data = {"dir": str(folder), "sessions": sessions, "verify": same, "tampered": refused, "caught": caught}
    _say("Where to find everything")
    text: list[Line] = [f"{folder / name}  {what}" for name, what in _places(manifest, sessions[0])]
    return Answer(data, text, next=[f"cd {folder}", f"osiris explain {sessions[0]}"])


def _say(act: str, typed: str | None = None) -> None:
    console().talk([("bold", act)])
    if typed:
        console().talk([("dim", "$ "), ("", typed)])


def _show(diagnostics: Sequence[Diagnostic]) -> None:
    for line in diagnostic_lines(diagnostics, console().root):
        console().talk(line)


def _compile(workspace: Workspace) -> str:
    _say(
        "1. Compile: the pipeline is checked against its data and becomes a plan with a fingerprint",
        f"osiris compile {PIPELINE}",
    )
    compiled = api.compile_file(workspace, PIPELINE, params={})
    console().talk(f"plan {compiled.manifest.name} {compiled.manifest.short}")
    return api.save(workspace, compiled)


def _break_pipeline(workspace: Workspace) -> list[str]:
    """Compile a copy with a misspelt column and return the codes that name it."""
    _say("2. A misspelled column is detected before anything runs", f"osiris compile {MISSPELT}")
    Path(MISSPELT).parent.mkdir()
    text = Path(PIPELINE).read_text(encoding="utf-8")
    Path(MISSPELT).write_text(text.replace(GOOD_COLUMN, BAD_COLUMN, 1), encoding="utf-8")
    problems = _refusal(lambda: api.compile_file(workspace, MISSPELT, params={}))
    return [item.code for item in problems]


def _run(workspace: Workspace, *, again: bool = False) -> str:
    title, option = ("3b. Run it again, as a new run", " --new-run") if again else ("3a. Run the plan", "")
    _say(title, f"osiris run --last-compile{option}")
    result = _run_plan(workspace, None, again=again)
    if result.exit_code:
        raise_all(result.diagnostics)
    rows = sum(step.get("rows_out") or 0 for step in result.steps.values() if step["mode"] == "write")
    console().talk(f"{result.status}: {count(rows, 'row')} written, session {result.session_id}")
    return result.session_id


def _run_plan(workspace: Workspace, target: str | None, *, again: bool = False) -> RunResult:
    from osiris.runner.host.run import RunOptions

    with watch(console()) as progress:
        result, _ = api.run_target(workspace, target, RunOptions(new_run=again), progress, params={})
    result.acknowledge()
    return result


def _verify(workspace: Workspace, sessions: list[str]) -> int:
    _say("4. Verify: both runs wrote the same data, value by value", f"osiris verify {' '.join(sessions)}")
    verdict = api.verify(workspace, *sessions)
    _show(verdict.diagnostics)
    console().talk(f"{count(len(verdict.outputs), 'output')} compared, {count(len(verdict.diagnostics), 'difference')}")
    return exit_code(verdict.diagnostics)


def _tamper(workspace: Workspace, manifest: str) -> int:
    """Flip one bit in a copy of the plan, try to run it, and return the exit code of the refusal."""
    _say("5. A plan with one changed byte is rejected", f"osiris run {TAMPERED}")
    content = bytearray(Path(manifest).read_bytes())
    content[content.index(b'"late_after":15') + len(b'"late_after":1')] ^= 1
    Path(TAMPERED).write_bytes(content)
    code = exit_code(_refusal(lambda: _run_plan(workspace, TAMPERED)))
    console().talk(f"exit code {code}")
    return code


def _refusal(act: Callable[[], object]) -> Sequence[Diagnostic]:
    """Run an action that must be rejected, and return its diagnostics."""
    problems: Sequence[Diagnostic] = ()
    try:
        act()
    except OsirisError as error:
        problems = error.diagnostics
    if not problems:
        fail("INT000", kind="acceptance", reason="what should have been rejected was accepted")
    _show(problems)
    return problems


def _places(manifest: str, session: str) -> list[tuple[str, str]]:
    return [
        (PIPELINE, "the pipeline"),
        (manifest, "the plan"),
        ("output/delays_by_carrier.csv", "its output, next to two more files"),
        (f"logs/{session}/", "the first run: its events, metrics, summary"),
        ("broken/", "the misspelled pipeline and the changed plan"),
    ]


@answers("explain", click.argument("key", required=False), PROFILE)
def explain(key: str | None, profile: str | None) -> Answer:
    """Show settings and where each value comes from.

    KEY limits the list to one setting, and describes it. Of several lines for a key, the first one applies. Settings
    that are not valid are reported, and the others are shown.
    """
    try:
        workspace = opened(profile)
    except InvalidInput:
        from osiris.api.opening import open_to_explain

        workspace = open_to_explain(start_folder(), os.environ, profile)  # fails again unless settings are the problem
    settings_by_key = api.explain_config(workspace, key)
    rows = [(name, s["written"], s["origin"]) for name, settings in settings_by_key.items() for s in settings]
    about = [f"{key}: {KEYS[key].purpose} ({KEYS[key].expected})"] if key else []
    text = [*about, *table(rows, ("key", "value", "from"))]
    return Answer({"settings": settings_by_key}, text, workspace.config.explained())


config = noun("config", "Show settings and where each value comes from.", explain)
