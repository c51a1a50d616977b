"""`osiris logs`: list, show, package, pack and delete sessions."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from osiris import api
from osiris.cli import legacy
from osiris.cli.command import PATH, ROWS, answers, choice, console, flag, noun, opened, valued
from osiris.cli.progress import event_line
from osiris.cli.render import Answer, figures
from osiris.cli.sessions import ODD, kind_of, row_lines, session_lines, talk_lines
from osiris.durable import write_file
from osiris.errors import diagnostic, raise_all
from osiris.files import refuse_foreign
from osiris.history.failures import cause_code
from osiris.secret import masked_problems
from osiris.session.finding import damaged_sessions
from osiris.session.stored import CONVERSATION
from osiris.units import count, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.api import Packaged, Swept, Workspace
    from osiris.cli.render import Line
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue


@answers(
    "bundle",
    click.argument("session", default="last"),
    valued("-o --output", "PATH", "Write the archive to this file or folder.", type=PATH),
    flag("--artifacts", "Include step artifacts, among them rejected rows."),
)
def bundle(session: str, output: Path | None, artifacts: bool) -> Answer:
    """Pack a session into one archive.

    The default session is the newest, the default file SESSION.zip in the current folder. The same session always gives
    the same bytes.
    """
    made = api.bundle(opened(), session, output, artifacts=artifacts)
    text = f"packed {made.session} into {made.path}: {count(len(made.entries), 'file')}, {made.bytes:,} bytes"
    return Answer(asdict(made), [text, f"  sha256 {made.sha256}"])


def _parser(read: Callable[[str], float | None], expected: str) -> Callable[[Any, Any, str | None], float | None]:
    """Return a callback that parses an option's value and rejects one that is not `expected`."""

    def parsed(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
        number = None if value is None else read(value)
        if value is not None and number is None:
            raise click.BadParameter(f"'{value}' is not {expected}")
        return number

    return parsed


def _bytes(text: str) -> int | None:
    return parse_size(int(text) if text.isascii() and text.isdigit() else text)


_AGE = _parser(parse_duration, "a time like 90s, 12h or 30d")
_SIZE = _parser(_bytes, "a size like 500MB or 2GB")
_PACKAGE_SIZE = _parser(_bytes, "a size like 8000 or 300kB")


@answers(
    "gc",
    valued("--older-than", "AGE", "Delete sessions older than this (30d, 12h).", callback=_AGE),
    valued("--max-size", "SIZE", "Delete the oldest sessions until the rest fits in this size (2GB).", callback=_SIZE),
    valued("--keep", "N", "Keep only the N newest sessions of each pipeline.", type=click.IntRange(min=0)),
    flag("--dry-run", "List the sessions; delete none."),
)
def sweep(older_than: float | None, max_size: int | None, keep: int | None, dry_run: bool) -> Answer:
    """Delete old sessions.

    Runs in progress, the newest success of each pipeline and runs that can still be resumed are kept. Deleting a
    session also frees its run id.

    """
    from osiris.chat.store import forget_conversations

    limits, workspace = api.Limits(older_than, max_size, keep), opened()
    swept = api.sweep(workspace, limits, dry_run=dry_run, before=partial(forget_conversations, workspace.project))
    return Answer({**swept.to_json(), "dry_run": dry_run}, _swept_lines(swept, dry_run=dry_run), swept.diagnostics)


def _swept_lines(swept: Swept, *, dry_run: bool) -> list[Line]:
    rows = list(swept.removed)
    table = figures(rows, ("session", "bytes")) if rows else []
    verb = "would be removed" if dry_run else "removed"
    left = swept.sessions_before - len(rows)
    total = (
        f"{count(len(rows), 'session')} {verb}, {swept.bytes_removed:,} of {swept.bytes_before:,} bytes; {left} left"
    )
    return [*table, *(f"kept {each.session}: {each.reason}" for each in swept.kept), total]


_NAMES = {"compress": "annex.compress"}


AIOP_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("session", required=False),
    flag("--last", "Use the newest session (the default)."),
    flag("--list wants_list", "List the existing packages."),
    choice("--format form", "json md", "Print the package (json) or its run card (md).", default="json"),
    choice("--policy", "core annex", "annex also writes every event to an annex."),
    valued("--max-core-bytes", "N", "Maximum size of the package.", callback=_PACKAGE_SIZE),
    choice("--timeline-density", "low medium high", "How many events the package includes."),
    valued("--metrics-topk", "N", "How many metrics the package includes.", type=click.IntRange(min=0)),
    choice("--schema-mode", "summary detailed", "detailed includes the columns of each step."),
    choice("--compress", "none gzip", "Compress the annex."),
    valued(
        "--output", "FILE", "Write to FILE instead of standard output.", type=click.Path(path_type=Path, dir_okay=False)
    ),
    flag("--strict", "Fail if anything is omitted to meet the size limit."),
)


@answers("aiop", *AIOP_OPTIONS)
def aiop(session: str | None, last: bool, wants_list: bool, **options: Any) -> Answer:  # noqa: ANN401 - one per option
    """Print the package (AIOP) of a run, for agents.

    It says what happened, why, what changed and what to do next. The default is the newest run. The aiop.* settings of
    osiris.yaml apply.
    """
    _refuse_words(session, last=last)
    workspace = opened()
    if wants_list:
        return _listed_packages(workspace)
    form, output, strict = (options.pop(name) for name in ("form", "output", "strict"))
    overrides = {_NAMES.get(name, name): value for name, value in options.items() if value is not None}
    made = api.package(workspace, session or "last", overrides, strict=strict)
    if output is not None:
        return _written(made, form, output)
    console().write(made.card if form == "md" else made.content.decode())
    content = {"run_card": made.card} if form == "md" else {"package": json.loads(made.content)}
    return Answer({"session": made.session, **content}, [], made.diagnostics)


def _refuse_words(session: str | None, *, last: bool) -> None:
    """Fail with the new spelling of a subcommand of the earlier implementation."""
    if session and (refusal := legacy.command_refusal(["logs", "aiop", session])):
        raise_all([refusal])
    if session and last:
        raise click.UsageError("give either a session or --last")


def _is_card(begins: bytes) -> bool:
    return begins.startswith(b"# ") and b"\nSession `" in begins


def _is_package(begins: bytes) -> bool:
    return begins.startswith(b'{\n"@context":"urn:osiris:aiop:')


def _written(made: Packaged, form: str, output: Path) -> Answer:
    content = made.card.encode() if form == "md" else made.content
    refuse_foreign(output, _is_card if form == "md" else _is_package)
    write_file(output.absolute(), content, private=False)
    data = {"session": made.session, "output": str(output), "bytes": len(content)}
    return Answer(data, [f"{output}  {len(content):,} bytes"], made.diagnostics)


def _listed_packages(workspace: Workspace) -> Answer:
    from osiris.aiop.package import load_catalogue

    records = load_catalogue(workspace.project)
    header = ("session", "status", "kind", "step", "code", "bytes")
    rows = [tuple(record[key] for key in header) for record in records]
    return Answer({"packages": records}, figures(rows, header) if rows else ["no packages yet"])


def _given_id(each: dict[str, JsonValue]) -> str | None:
    return api.given_id(each)  # imported when it is called: completion of a command must not wait for it


_LISTED: dict[str, Callable[[dict[str, JsonValue]], JsonValue]] = {
    "session": lambda each: each["session"],
    "run id": _given_id,
    "status": kind_of,
    "started (UTC)": lambda each: str(each.get("started_at") or "").replace("T", " ")[:16] or None,
    "pipeline": lambda each: each.get("pipeline"),
    "where": lambda each: each.get("adapter"),
    "ms": lambda each: each.get("duration_ms"),
    "rows out": lambda each: each.get("rows_out"),
    "error": cause_code,
}
"""The columns of the list of sessions; a column without any value is left out."""


@answers("list", valued("--limit", "N", "How many to list (default: 20).", type=click.IntRange(min=1), default=20))
def list_sessions(limit: int) -> Answer:
    """List runs and conversations, newest first."""
    workspace = opened()
    sessions, damaged = api.list_records(workspace), damaged_sessions(workspace.project)
    shown = masked_problems(sessions[:limit])
    marks = api.marks_of(workspace, shown)
    columns = {title: [value(each) for each in shown] for title, value in _LISTED.items()}
    columns[ODD] = [marks.get(str(each["session"])) for each in shown]
    filled = {title: cells for title, cells in columns.items() if any(cell is not None for cell in cells)}
    text: list[Line] = figures(zip(*filled.values(), strict=True), tuple(filled)) if shown else ["no sessions yet"]
    if len(sessions) > limit:
        text.append(f"the newest {limit:,} of {count(len(sessions), 'session')}; --limit N lists more")
    return Answer({"sessions": shown, "total": len(sessions), "findings": marks}, text, damaged)


@answers(
    "show",
    click.argument("session", default="last"),
    flag("--events", "Print every event."),
    flag("--metrics", "Print every metric."),
    ROWS,
)
def show(session: str, events: bool, metrics: bool, rows: bool) -> Answer:
    """Show a session: steps, outputs and problems.

    SESSION is a session id or its beginning, a run id, 'last' (the default) or 'previous'.
    """
    workspace = opened()
    masked = _unmasked if rows else masked_problems
    run = masked(api.show_record(workspace, session))
    name, data = str(run["session"]), {"session": run}
    if run["kind"] == CONVERSATION:
        text = talk_lines(run)
    else:
        remarks = api.remarks_on(workspace, name)
        data |= {"findings": remarks.findings, "targets": remarks.targets}
        data |= {"tables": [table.to_json() for table in remarks.tables]} if remarks.tables else {}
        text = session_lines(run, remarks)
    if events:
        data["events"] = masked(api.session_lines(workspace, name, "events"))
        text += map(event_line, data["events"])
    if metrics:
        data["metrics"] = api.session_lines(workspace, name, "metrics")
        text += [f"{m['metric']} {m['value']} {m['unit']} {m.get('tags') or ''}" for m in data["metrics"]]
    if rows:
        data["rows"] = api.checked_rows(workspace, name)
        text += row_lines(data["rows"])
    return Answer(data, text)


def _unmasked(value: JsonValue) -> JsonValue:
    return value


@answers(
    "html",
    click.argument("session", default="last"),
    flag("--open wants_browser", "Open the page in a browser."),
    valued("--output", "DIR|FILE", "Write to DIR, or only this page to FILE (FILE ends in .html).", type=PATH),
    valued(
        "--sessions",
        "N",
        "Also render pages for the N newest runs without one (default: 20).",
        type=click.IntRange(min=0),
        default=20,
    ),
)
def html(session: str, wants_browser: bool, output: Path | None, sessions: int) -> Answer:
    """Write HTML reports: a page for a run and an index of all runs.

    The default is the newest run. The pages are logs/SESSION/report.html and logs/index.html, or only the run's page
    with --output FILE. Each page is one self-contained file.

    """
    workspace = opened()
    if output and output.suffix == ".html":
        made = api.write_report(workspace, session, output)
    else:
        made = api.write_reports(workspace, session, output, sessions)
    data = {
        "session": made.session,
        "report": str(made.report),
        "others": [str(path) for path in made.others],
        "index": str(made.index) if made.index else None,
    }
    text = [f"report {_shown(made.report)}", *([f"index {_shown(made.index)}"] if made.index else [])]
    return Answer(data, text, _browse(made.report) if wants_browser else [])


def _shown(path: Path) -> str:
    """Return a path as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def _browse(path: Path) -> list[Diagnostic]:
    """Open a page in a browser; returns AIO020 if there is no browser."""
    import webbrowser

    return [] if webbrowser.open(path.absolute().as_uri()) else [diagnostic("AIO020", path=_shown(path))]


logs = noun(
    "logs",
    "Inspect past runs.\n\nEach run and each conversation is a session: a folder in logs/.",
    list_sessions,
    show,
    bundle,
    sweep,
    html,
    aiop,
)
