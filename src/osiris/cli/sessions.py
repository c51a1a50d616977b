"""`osiris explain`: what a code means, what a plan does, why a session ran and how it ended; and what else there is to
say of a session: what it did, what it wrote, and why it is as it is.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from osiris import api
from osiris.cli.command import answers, opened
from osiris.cli.render import Answer, diagnostic_lines, figures, status_style
from osiris.codes.page import load_page
from osiris.errors import Diagnostic, OsirisError
from osiris.history.record import REFUSED, resume_command
from osiris.history.row_counts import MILD
from osiris.history.tables import by_entry, merged, since_text, states_text
from osiris.session.stored import CONVERSATION
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from osiris.api import Remarks, Story, Workspace
    from osiris.cli.render import Line
    from osiris.history.tables import Table
    from osiris.model import JsonValue, Manifest

    Run = dict[str, JsonValue]


SHOWN_DIGITS = 12
ODD = "finding"
MOST_TABLES = 500
"""Maximum tables of an entry that `logs show` lists."""
OVERLAP = "steps that stream into each other run at the same time: their times overlap"
_MARK = re.compile(r"^(?:- |\d+\. |Message: |Hint: )")


def talk_lines(talk: Run) -> list[Line]:
    """Return the lines that show a conversation: its state, its open question and its runs."""
    usage, question = talk["usage"], talk["question"]
    used = f"{count(usage['requests'], 'request')}, {count(usage['input_tokens'] + usage['output_tokens'], 'token')}"
    return [
        [("bold", str(talk["session"])), ("", f"  {talk['status']} in {talk['state']}")],
        f"  first message: {talk['title']}",
        *([f"  waiting for an answer: {question['text']}"] if question else []),
        *([f"  pipeline {talk['file']}, plan {talk['fingerprint'][:SHOWN_DIGITS]}"] if talk.get("file") else []),
        *([f"  runs {', '.join(talk['runs'])}"] if talk["runs"] else []),
        f"  started {talk['started_at']}, last active {talk.get('ended_at') or 'now'}, {used}",
    ]


def session_lines(run: Run, remarks: Remarks) -> list[Line]:
    """Return the lines that show one run: status, steps, outputs and problems."""
    named = f", run id {api.given_id(run)}" if api.given_id(run) else ""
    origin = f", resumes {run['continues']}" if run.get("continues") else ""
    if run.get("replays"):
        named, origin = "", f", replays {run['replays']['session']}"
    return [
        [("bold", str(run["session"])), (status_style(str(run["status"])), f"  {run['status']}")],
        f"  pipeline {run.get('pipeline')}, plan {str(run.get('fingerprint'))[:SHOWN_DIGITS]}{named}{origin}",
        *([f"  only steps {', '.join(run['selected'])} (--select)"] if run.get("selected") else []),
        f"  started {run.get('started_at')}, ended {run.get('ended_at') or 'not yet'}",
        *table_lines(remarks.tables, MOST_TABLES),
        *step_lines(run.get("steps") or {}),
        *read_lines(run, remarks.sources),
        *rewound_lines(run),
        *written_lines(run, remarks.targets),
        *finding_lines(remarks.findings),
        *diagnostic_lines(merged(_still_true(run, remarks.after), remarks.tables)),
        *api.resumed_by(remarks.after),
    ]


def rewound_lines(run: Run) -> list[Line]:
    """Return a line for each step of its own that read rows again, as its state was moved by hand."""
    read = {name: step.get("read_since") for name, step in _ordinary(run.get("steps") or {}).items()}
    return [f"  {name}: rows {since_text(since)}" for name, since in read.items() if since and since.get("rewound_by")]


def finding_lines(findings: Iterable[Mapping[str, JsonValue]]) -> list[Line]:
    """Return the lines of findings; mild ones are only in the report."""
    return [[("warning", ODD), ("", f": {each['text']}")] for each in findings if each["kind"] not in MILD]


def _still_true(run: Run, after: Run | None) -> list[Diagnostic]:
    """Return the diagnostics of a run; without hints if it was resumed."""
    diagnostics = [Diagnostic.from_json(each) for each in run.get("diagnostics") or ()]
    return [replace(each, hint=None) for each in diagnostics] if after else diagnostics


def table_lines(tables: Sequence[Table], most: int) -> list[Line]:
    """Return the tables of entries of `replicate`, the worst first: at most so many of each entry, then counts."""
    return [line for entry, group in by_entry(tables).items() for line in _entry_lines(entry, group, most)]


def _entry_lines(entry: str, tables: Sequence[Table], most: int) -> Iterator[Line]:
    yield [("bold", entry), ("", f"  {states_text(tables)}")]
    shown, rest = tables[:most], tables[most:]
    columns: dict[str, list[object]] = {title: [cell(table) for table in shown] for title, cell in _OF_TABLES.items()}
    columns = {title: cells for title, cells in columns.items() if title in _ALWAYS or any(cells)}
    yield from figures(zip(*columns.values(), strict=True), tuple(columns))
    if rest:
        yield f"… and {states_text(rest).replace('table', 'more table', 1)}"


_OF_TABLES: dict[str, Callable[[Table], object]] = {
    "table": lambda table: table.name,
    "state": lambda table: table.state,
    "rows": lambda table: table.rows,
    "deleted": lambda table: table.deleted or None,
    "rejected": lambda table: table.rejected or None,
    "code": lambda table: table.problem and table.problem.code,
    "read": lambda table: since_text(table.since) or None,
}
_ALWAYS = ("table", "state", "rows")


def step_lines(steps: Run) -> list[Line]:
    """Return the table of steps; nothing if there are none. Those of tables have lines of their own."""
    steps = _ordinary(steps)
    keys = {"status": "status", "rows in": "rows_in", "rows out": "rows_out", "ms": "duration_ms"}
    keys |= {"rejected": "rows_rejected"} if any(step.get("rows_rejected") for step in steps.values()) else {}
    keys |= {"checks passed": "checks"} if any("checks" in step for step in steps.values()) else {}
    rows = [(name, *(step.get(key) for key in keys.values())) for name, step in steps.items()]
    timed = sum(bool(step.get("duration_ms")) for step in steps.values())
    note: list[Line] = [[("dim", OVERLAP)]] if timed > 1 else []
    return [*figures(rows, ("step", *keys)), *note] if rows else []


def read_lines(run: Run, sources: Mapping[str, str]) -> list[Line]:
    """Return the table of what was read, with rows."""
    steps = _ordinary(run.get("steps") or {})
    rows = [(name, source, steps[name].get("rows_out")) for name, source in sources.items() if name in steps]
    return figures(rows, ("read by", "source", "rows")) if rows else []


def written_lines(run: Run, targets: Mapping[str, str]) -> list[Line]:
    """Return the table of what was written where, with rows and the beginning of the digest, new tables, and rejects.

    Files are named as they are on record, of other targets what `targets` has. Where the target refused rows the digest
    is of others than those that were written, and not shown.
    """
    ordinary, outputs = _ordinary(run.get("steps") or {}), (run.get("outputs") or {}).items()
    rows = [
        row for step, output in outputs if step in ordinary for row in _written(step, output, targets.get(step, ""))
    ]
    table = figures(rows, ("written by", "target", "rows", "digest")) if rows else []
    steps: Run = run.get("steps") or {}
    return [*_cuts(steps), *table, *_new_tables(steps), *_deleted(steps), *_set_aside(str(run["session"]), steps)]


def _cuts(steps: Run) -> Iterator[str]:
    """Yield which steps were computed in parts, with the ratio of the largest to the median, and which were not."""
    cut = {name: step["cut"] for name, step in steps.items() if "cut" in step}
    whole = [name for name, step in steps.items() if "one_task" in step]
    if cut:
        skews = ", ".join(f"{name} (the largest {each['skew']} times the median)" for name, each in cut.items())
        parts = count(next(iter(cut.values()))["parts"], "part")
        yield f"computed in {parts}: {skews}" + (f"; as one task: {', '.join(whole)}" if whole else "")
    elif whole:
        yield f"not computed in parts: {', '.join(whole)}; 'osiris compile FILE --explain' says why"


def _new_tables(steps: Run) -> Iterator[str]:
    """Yield the tables that steps have made; one that failed may have made none."""
    for name, step in _ordinary(steps).items():
        if (created := step.get("new_table")) and step["status"] == "complete":
            near = f" (similar name: '{created['near']}')" if created["near"] else ""
            yield f"created table '{created['table']}'{near} (step {name})"


def _deleted(steps: Run) -> Iterator[str]:
    """Yield how many rows of targets were deleted, because their sources no longer have them."""
    for name, step in steps.items():
        if (deleted := step.get("deleted")) and step["status"] == "complete":
            how = "marked as deleted in" if deleted["soft"] else "deleted from"
            yield f"{count(deleted['rows'], 'row')} {how} '{deleted['table']}' (step {name})"


def _set_aside(session: str, steps: Run) -> Iterator[str]:
    for name, step in steps.items():
        if rejects := step.get("quarantined"):
            yield f"{name}: {count(rejects['rows'], 'row')} rejected, logs/{session}/artifacts/{name}/{rejects['file']}"


def _written(step: str, output: Run, target: str) -> Iterator[tuple[object, ...]]:
    from osiris.compare.differences import was_refused

    first, *others = [file["path"] for file in output["files"]] or [target]
    digest = "" if was_refused(output) else output["digest"]["value"][:SHOWN_DIGITS]
    yield step, first, output["rows"], digest
    yield from (("", path, None, "") for path in others)


def _ordinary(steps: Run) -> Run:
    """Return the steps that do not belong to an entry of `replicate`."""
    return {name: step for name, step in steps.items() if "entry" not in step}


def row_lines(rows: list[Run]) -> list[str]:
    """Return the lines that show the rows that broken checks found, as JSON."""
    return [
        f"{row['step']}: {row['check']}: {json.dumps(row['row'], ensure_ascii=False, default=str)}" for row in rows
    ] or ["no rows failed a check"]


def kind_of(run: Run) -> str:
    """Return how a session ended, and that it was a replay or a conversation if it was one."""
    kind = "replay " if run.get("replays") else "chat " if run["kind"] == CONVERSATION else ""
    return "could not start" if run["kind"] == REFUSED else f"{kind}{run['status']}"


def next_commands(run: Run, story: Story) -> list[str]:
    """Return the commands that make sense after a session."""
    show = f"osiris logs show {run['session']}"
    if run.get("replays"):
        return [f"osiris diff {run['replays']['session']} {run['session']}"]
    if run["status"] in ("complete", "running"):
        return [show]
    if story.after:
        return [f"osiris explain {story.after['session']}"]
    explained = [] if story.cause is None or story.may_pass else [f"osiris explain {story.cause.code}"]
    return [*explained, resume_command(run), show]


_ALIKE = 5
"""Steps that are named where many are alike."""


@answers("explain", click.argument("what", metavar="CODE|PLAN|SESSION"))
def explain(what: str) -> Answer:
    """Explain an error code, a plan or a run.

    An error code is, for example, OML002; a plan is a file or fingerprint; a run is a session id, a run id or 'last'.
    """
    if api.is_code(what):
        return _code(what.upper())
    try:
        workspace = opened()
        subject = api.find_subject(workspace, what)
    except OsirisError:
        if api.suggest_code(what):
            return _code(what.upper())
        raise
    if isinstance(subject, dict):
        return _session(workspace, subject)
    return Answer({"plan": dict(subject.data)}, plan_details(subject))


def _code(code: str) -> Answer:
    row = api.explain_code(code)
    head: list[Line] = [[("bold", f"{code} {row['title']}")], f"{row['severity']}, exit code {row['exit_code']}", ""]
    text = [*head, *_wrapped(str(row["meaning"])), "", *_wrapped(f"Message: {row['message']}")]
    text += _wrapped(f"Hint: {row['hint']}") if row["hint"] else []
    for title, blocks in load_page(code).parts():
        text += ["", [("bold", title)]]
        for block in blocks:
            text += ["", *([f"  {block.path}:"] if block.path else []), *_indented(block.text)]
    return Answer(row, text)


def _wrapped(text: str) -> list[Line]:
    """Return paragraphs for a terminal of 80 columns, with the entries of a list indented."""
    lines: list[Line] = []
    for part in re.split(r"\n(?=\n|- |\d+\. )", text):
        indent = " " * len("".join(_MARK.findall(part)))
        lines += [""] if part.startswith("\n") else []
        lines += textwrap.wrap(part.strip(), 80, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return lines


def _indented(text: str) -> list[Line]:
    return [f"    {line}".rstrip() for line in text.splitlines()]


def _session(workspace: Workspace, run: dict[str, JsonValue]) -> Answer:
    story = api.story(workspace, str(run["session"]))
    run = dict(story.reading.run.summary)
    sentences = api.story_lines(run, story)
    head: Line = [("bold", str(run["session"])), (status_style(str(run["status"])), f"  {run['status']}")]
    odd = finding_lines(story.findings)
    tables = [*table_lines(story.tables, MOST_TABLES), *read_lines(run, story.sources)]
    tables += [*rewound_lines(run), *written_lines(run, story.targets)]
    text = [head, *sentences, *odd, *_why_lines(run, story.why), *tables]
    data = {"session": run, "story": sentences, "why": story.why, "reading": story.to_json()}
    return Answer(data, text, next=next_commands(run, story))


def _why_lines(run: dict[str, JsonValue], why: Mapping[str, str]) -> list[Line]:
    """Return the table of reasons; steps with the same status and reason share a row. Tables are elsewhere."""
    alike: dict[tuple[str, str], list[str]] = {}
    ordinary = _ordinary(run["steps"])
    for step, reason in ((name, why[name]) for name in why if name in ordinary):
        alike.setdefault((str(run["steps"][step]["status"]), reason), []).append(step)
    rows = [(_named(steps), status, reason) for (status, reason), steps in alike.items()]
    return figures(rows, ("steps", "status", "reason")) if rows else []


def _named(steps: list[str]) -> str:
    more = len(steps) - _ALIKE
    return ", ".join(steps[:_ALIKE]) + (f" and {more:,} more" if more > 0 else "")


def plan_details(manifest: Manifest) -> list[Line]:
    """Return the lines that show a plan step by step."""
    params = [f"  param {name}: {api.one_line(value)}" for name, value in manifest.data["params"].items()]
    return [plan_head(manifest), *params, *(line for step in manifest.steps for line in _step(step))]


def plan_head(manifest: Manifest) -> Line:
    """Return the line that names a plan."""
    description = manifest.data["pipeline"].get("description") or ""
    return [("bold", f"plan {manifest.name} {manifest.fingerprint}"), ("", f"  {description}")]


def _step(step: dict[str, JsonValue]) -> list[Line]:
    config = step["config"]
    columns = ", ".join(f"{c['name']} {c['type']}{'' if c['nullable'] else ' not null'}" for c in step["schema"] or ())
    facts = {
        "needs": ", ".join(step["needs"]),
        "connection": step["connection"],
        "path": config.get("path"),
        "columns": columns,
        "order": step["order"] if step["schema"] else None,
        "delivery": step["delivery"],
    }
    head: Line = [("bold", step["id"]), ("", f"  {step['component']} {step['version']}, {step['mode']}")]
    sql = [f"    {line}" for key in step["sql"] for line in str(config[key]).splitlines()]
    return [head, *(f"  {name}: {fact}" for name, fact in facts.items() if fact), *(["  sql:"] if sql else []), *sql]
