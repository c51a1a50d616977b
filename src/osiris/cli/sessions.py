"""What there is to say of a session: what it did, what it wrote, and why it is as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.cli.render import count, diagnostic_lines, figures
from osiris.compare.differences import was_refused
from osiris.errors import Diagnostic
from osiris.history.reading import stale_text
from osiris.history.record import REFUSED, resume_command
from osiris.history.row_counts import MILD, moved_text
from osiris.session.finding import is_session_id
from osiris.session.stored import CONVERSATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from osiris.api import Remarks, Story
    from osiris.cli.render import Line
    from osiris.model import JsonValue

    Run = dict[str, JsonValue]

SHOWN_DIGITS = 12
ODD = "worth a look"
_NAMED = 12


def talk_lines(talk: Run) -> list[Line]:
    """Return the lines that show a conversation: where it stands, what it waits for, and what came of it."""
    usage, question = talk["usage"], talk["question"]
    used = f"{count(usage['requests'], 'request')}, {count(usage['input_tokens'] + usage['output_tokens'], 'token')}"
    return [
        [("bold", str(talk["session"])), ("", f"  {talk['status']} in {talk['state']}")],
        f"  said first: {talk['title']}",
        *([f"  waits for an answer: {question['text']}"] if question else []),
        *([f"  pipeline {talk['file']}, plan {talk['fingerprint'][:SHOWN_DIGITS]}"] if talk.get("file") else []),
        *([f"  runs {', '.join(talk['runs'])}"] if talk["runs"] else []),
        f"  started {talk['started_at']}, last taken up until {talk.get('ended_at') or 'now'}, {used}",
    ]


def session_lines(run: Run, remarks: Remarks) -> list[Line]:
    """Return the lines that show one run: how it ended, each step, what was written, and what was wrong."""
    key = f"run id {given_id(run)}" if given_id(run) else f"run key {run.get('run_key')}"
    why = f", continues {run['continues']}" if run.get("continues") else ""
    if run.get("replays"):
        key, why = f"replays {run['replays']['session']}", ""
    return [
        [("bold", str(run["session"])), ("", f"  {run['status']}")],
        f"  pipeline {run.get('pipeline')}, plan {str(run.get('fingerprint'))[:SHOWN_DIGITS]}, {key}{why}",
        *([f"  only steps {', '.join(run['selected'])} (--select)"] if run.get("selected") else []),
        f"  started {run.get('started_at')}, ended {run.get('ended_at') or 'not yet'}",
        *step_lines(run.get("steps") or {}),
        *written_lines(run, remarks.targets),
        *finding_lines(remarks.findings),
        *diagnostic_lines(_still_true(run, remarks.after)),
        *_continued(remarks.after),
    ]


def finding_lines(findings: Iterable[Mapping[str, JsonValue]]) -> list[Line]:
    """Return the lines of what looks wrong in a run though nothing failed; what makes no verdict is for the report."""
    return [[("warning", ODD), ("", f": {each['text']}")] for each in findings if each["kind"] not in MILD]


def _still_true(run: Run, after: Run | None) -> list[Diagnostic]:
    """Return the diagnostics of a run; of one that was continued without what there was to do."""
    found = [Diagnostic.from_json(each) for each in run.get("diagnostics") or ()]
    return [replace(each, hint=None) for each in found] if after else found


def _continued(after: Run | None) -> list[str]:
    return [f"Run {after['session']} continued it and is {after['status']}."] if after else []


def step_lines(steps: Run) -> list[Line]:
    """Return the table of what each step did; nothing if there are no steps."""
    keys = {"status": "status", "rows in": "rows_in", "rows out": "rows_out", "ms": "duration_ms"}
    keys |= {"rejected": "rows_rejected"} if any(step.get("rows_rejected") for step in steps.values()) else {}
    keys |= {"checks passed": "checks"} if any("checks" in step for step in steps.values()) else {}
    rows = [(name, *(step.get(key) for key in keys.values())) for name, step in steps.items()]
    return figures(rows, ("step", *keys)) if rows else []


def written_lines(run: Run, targets: Mapping[str, str]) -> list[Line]:
    """Return the table of what was written where, with rows and the beginning of the digest, new tables, and rejects.

    Files are named as they are on record, of other targets what `targets` has. Where the target refused rows the digest
    is of others than those that were written, and not shown.
    """
    outputs = (run.get("outputs") or {}).items()
    rows = [row for step, output in outputs for row in _written(step, output, targets.get(step, ""))]
    table = figures(rows, ("written by", "target", "rows", "digest")) if rows else []
    aside = {name: step["quarantined"] for name, step in (run.get("steps") or {}).items() if "quarantined" in step}
    new = {name: step["new_table"] for name, step in (run.get("steps") or {}).items() if _has_made(step)}
    return [
        *table,
        *(_new(name, told) for name, told in new.items()),
        *(_aside(str(run["session"]), name, told) for name, told in aside.items()),
    ]


def _new(step: str, told: Run) -> str:
    near = f" (there is '{told['near']}')" if told["near"] else ""
    return f"new table '{told['table']}'{near}, made by {step}"


def _has_made(step: Run) -> bool:
    """Tell whether a step has made its table; one that failed may have made none."""
    return "new_table" in step and step["status"] == "complete"


def _aside(session: str, step: str, told: Run) -> str:
    return f"set aside by {step}: {count(told['rows'], 'row')}, logs/{session}/artifacts/{step}/{told['file']}"


def _written(step: str, output: Run, target: str) -> Iterator[tuple[object, ...]]:
    first, *others = [file["path"] for file in output["files"]] or [target]
    digest = "" if was_refused(output) else output["digest"]["value"][:SHOWN_DIGITS]
    yield step, first, output["rows"], digest
    yield from (("", path, None, "") for path in others)


def row_lines(rows: list[Run]) -> list[str]:
    """Return the lines that show the rows that broken checks found, as JSON."""
    return [
        f"{row['step']}: {row['check']}: {json.dumps(row['row'], ensure_ascii=False, default=str)}" for row in rows
    ] or ["no check found rows"]


def given_id(run: Run) -> str | None:
    """Return the run id that was given with --run-id; None if the key is the id of the session that began the run."""
    key = run.get("run_key")
    return key if key and not is_session_id(key) else None


def kind_of(run: Run) -> str:
    """Return how a session ended, and that it was a replay or a conversation if it was one."""
    kind = "replay " if run.get("replays") else "chat " if run["kind"] == CONVERSATION else ""
    return "could not start" if run["kind"] == REFUSED else f"{kind}{run['status']}"


def story_lines(run: Run, story: Story) -> list[str]:
    """Return, in sentences, why a session is as it is: how it began, what was left out, how it ended, what is next."""
    return [
        _beginning(run, story),
        *_left_out(story),
        _end(run, story),
        *_blocked(story),
        *_stale(story),
        *_prospect(run, story),
    ]


def _beginning(run: Run, story: Story) -> str:
    if run.get("replays"):
        return f"It is a replay of {run['replays']['session']}, and no run of its pipeline."
    if run["kind"] == REFUSED:
        return "The run could not start."
    under = f" under run id '{given_id(run)}'" if given_id(run) else ""
    if not run.get("continues"):
        return f"The run started anew{under}."
    before = f", which ended as {story.before['status']}" if story.before else ""
    return f"The run continued {run['continues']}{before}{under}."


def _left_out(story: Story) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for step, reason in story.skipped.items():
        by_reason.setdefault(reason, []).append(step)
    told = "; ".join(f"{', '.join(steps)} ({reason})" for reason, steps in by_reason.items())
    return [f"Skipped: {told}."] if told else []


def _end(run: Run, story: Story) -> str:
    done = sum(step["status"] == "complete" for step in run["steps"].values())
    if run["status"] == "complete":
        rows = moved_text(story.reading.row_counts)
        return f"It is complete: {count(done, 'step')} run, {rows}, in {run['duration_ms']:,.0f} ms."
    if run["status"] == "running":
        return f"It is still running: {done} of {count(len(run['steps']), 'step')} complete."
    who = f"Step {', '.join(story.failed)} failed" if story.failed else f"It ended as {run['status']}"
    cause = story.cause
    if cause is None:
        return f"{who}."
    place = f"{cause.location}: " if str(cause.location) else ""
    hint = f" Hint: {cause.hint}." if cause.hint and not story.after else ""
    return f"{who} with {cause.code}: {place}{cause.message}.{hint}"


def _blocked(story: Story) -> list[str]:
    """Name the steps that the cause held up, and the last success."""
    if story.cause is None:
        return []
    held = story.reading.blocked
    more = f" and {len(held) - _NAMED:,} more" if len(held) > _NAMED else ""
    said = [f"So {count(len(held), 'step')} did not finish: {', '.join(held[:_NAMED])}{more}."] if held else []
    last = story.reading.base_id
    return [*said, f"The last success was {last}." if last else "No earlier success of this pipeline is known."]


def _stale(story: Story) -> list[str]:
    return [stale_text(story.reading.stale)] if story.reading.stale else []


def _prospect(run: Run, story: Story) -> list[str]:
    if run["status"] == "running" or run.get("replays"):
        return []
    if run["status"] == "complete":
        return [f"Run id '{given_id(run)}' is finished: to give it again does nothing."] if given_id(run) else []
    if story.after:
        return _continued(story.after)
    if run["kind"] == REFUSED:
        return ["Nothing was begun; once the cause is fixed, the same command starts it."]
    kept = f"; what {', '.join(run['deliveries'])} wrote is kept" if run.get("deliveries") else ""
    return [f"With --resume the same plan goes on{kept}; a pipeline that was changed starts anew."]


def next_commands(run: Run, story: Story) -> list[str]:
    """Return the commands that make sense after a session."""
    show = f"osiris logs show {run['session']}"
    if run.get("replays"):
        return [f"osiris diff {run['replays']['session']} {run['session']}"]
    if run["status"] in ("complete", "running"):
        return [show]
    if story.after:
        return [f"osiris explain {story.after['session']}"]
    return [resume_command(run), show]
