"""The baselines: what other tools record of a run, interpreted as well as possible.

There are two: the raw events, and a summary like dbt's `run_results.json`. Both are read into the same facts, and the
same twelve rules answer from these. Where nothing is recorded (what changed, whether a retry is safe), the most likely
answer is given, without evidence to cite.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.runqa.questions import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

ENDS = {"run_complete": "complete", "run_failed": "failed", "run_cancelled": "cancelled", "run_lost": "lost"}
STEP_ENDS = {"step_failed": "failed", "step_cancelled": "cancelled", "step_complete": "complete"}
DBT = {"complete": "success", "failed": "error"}
WORDS = (
    ("auth", r"not let|permission|may not|denied"),
    ("connection", r"cannot be reached|connection"),
    ("timeout", r"longer than|timeout"),
    ("cancelled", r"cancelled"),
    ("killed", r"SIGKILL|is gone"),
    ("resource", r"space|memory"),
    ("schema", r"no table|does not fit: |does not exist|column '\w+' is (gone|not)"),
)
"""Words of a message by class, the first match counts; other failures are of class data."""
OBJECTS = (
    ("column", r"column '([^']+)'"),
    ("table", r"table '([^']+)'"),
    ("key", r"key '?(\w+)"),
    ("check", r"check '([^']+)'"),
    ("connection", r"(@\w+\.\w+)"),
    ("signal", r"\b(SIG[A-Z]+)"),
    ("session", r"run (\S+) is gone"),
    ("file", r"(\S+\.[a-z]{2,})\b"),
)
NEXT = {"auth": "connection", "connection": "connection", "schema": "recompile"}


@dataclass
class StepFacts:
    """The recorded facts about one step; `cite` is the id of the line that has them."""

    state: str = "running"
    mode: str = ""
    code: str | None = None
    message: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    cite: str = ""


@dataclass
class Facts:
    """The recorded facts about a run, as far as the budget allowed reading it."""

    status: str = "running"
    code: str | None = None
    message: str = ""
    total: int = 0
    steps: dict[str, StepFacts] = field(default_factory=dict)
    cite: str = ""

    def in_state(self, *states: str) -> dict[str, StepFacts]:
        """Return the steps in one of these states."""
        return {name: facts for name, facts in self.steps.items() if facts.state in states}


def read_events(session: Path, room: int) -> tuple[Facts, set[str]]:
    """Read as many lines as fit the budget, half of them from the end; returns facts, and the ids of all lines."""
    lines = (session / "events.jsonl").read_text(encoding="utf-8").splitlines()
    shown = [json.loads(line) for line in _both_ends(lines, room)]
    facts = Facts()
    for event in shown:
        cite, name = f"ev.{event['seq']}", event["event"]
        if name == "run_start":
            facts.total = event["steps"]
        elif name in ENDS:
            facts.status, facts.cite = ENDS[name], cite
            facts.code, facts.message = event.get("code"), event.get("message", "")
        elif "step" in event:
            _take(facts.steps.setdefault(event["step"], StepFacts()), event, cite)
    return facts, {f"ev.{json.loads(line)['seq']}" for line in lines}


def _take(step: StepFacts, event: Mapping[str, Any], cite: str) -> None:
    step.mode = event.get("mode", step.mode)
    step.state, step.cite = STEP_ENDS.get(event["event"], step.state), cite
    step.code, step.message = event.get("code"), event.get("message", "")
    fields = {"in": "rows_in", "out": "rows_out", "rejected": "rows_rejected"}
    step.rows = {ours: event[name] for ours, name in fields.items() if name in event}


def read_results(session: Path, room: int) -> tuple[Facts, set[str]]:
    """Read a summary in dbt's format, failures first; returns facts, and the ids of all nodes."""
    results = run_results(session)
    shown = [json.loads(line) for line in _fitting([json.dumps(result) for result in results], room)]
    facts = Facts("complete", total=len(results))
    for result in shown:
        mode, _dot, name = result["unique_id"].partition(".")
        state = {"success": "complete", "error": "failed"}.get(result["status"], "skipped")
        code, _space, message = result["message"].partition(" ")
        rows = {"out": result["adapter_response"]["rows_affected"]} if state == "complete" else {}
        facts.steps[name] = StepFacts(state, mode, code, message, rows, result["unique_id"])
        facts.cite = facts.cite or result["unique_id"]
    failed = next(iter(facts.in_state("failed").values()), None)
    if failed:
        facts.status, facts.code, facts.message = "failed", failed.code, failed.message
    elif facts.in_state("skipped"):
        facts.status = "cancelled"
    return facts, {result["unique_id"] for result in results}


def run_results(session: Path) -> list[dict[str, Any]]:
    """Return what dbt would write for each node: status, message, seconds, rows; failed ones first.

    dbt writes it at the end of a run, so a killed process would have none; here it has one.
    """
    summary = json.loads((session / "run.json").read_text(encoding="utf-8"))
    lines = (session / "events.jsonl").read_text(encoding="utf-8").splitlines()
    failures = {e["step"]: e for e in map(json.loads, lines) if e["event"] == "step_failed"}
    results = [
        {
            "unique_id": f"{step['mode']}.{name}",
            "status": DBT.get(step["status"], "skipped"),
            "message": " ".join(failures[name][key] for key in ("code", "message")) if name in failures else "OK",
            "execution_time": (step.get("duration_ms") or 0) / 1000,
            "adapter_response": {"rows_affected": step.get("rows_out") or 0},
        }
        for name, step in summary["steps"].items()
    ]
    return sorted(results, key=lambda result: ("error", "success", "skipped").index(result["status"]))


def _both_ends(lines: list[str], room: int) -> list[str]:
    if sum(map(len, lines)) + len(lines) <= room:
        return lines
    head = _fitting(lines, room // 2)
    return [*head, *reversed(_fitting(lines[: len(head) - 1 : -1], room // 2))]


def _fitting(lines: Iterable[str], room: int) -> list[str]:
    fitting = []
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        fitting.append(line)
    return fitting


def verdict(facts: Facts) -> Answer:
    """The status; for a complete run also what the row counts suggest."""
    odd, _step, cite = _odd(facts)
    return Answer(f"complete:{odd}" if facts.status == "complete" else facts.status, (cite,))


def _odd(facts: Facts) -> tuple[str, str | None, str]:
    """Return what is suspicious about the rows of a complete run, in which step, and the line that shows it."""
    reads = {name: step for name, step in facts.steps.items() if step.mode == "read"}
    if reads and not any(step.rows.get("out") for step in reads.values()):
        name, step = next(iter(reads.items()))
        return "nothing_read", name, step.cite
    most = max((step.rows.get("out", 0) for step in reads.values()), default=0)
    for name, step in facts.steps.items():
        out = step.rows.get("out")
        tests = {
            "rows_rejected": step.rows.get("rejected", 0) > 0,
            "all_filtered": step.mode == "transform" and out == 0,
            "fan_out": step.mode == "transform" and (out or 0) > most,
        }
        for odd, holds in tests.items():
            if holds:
                return odd, name, step.cite
    return "ok", None, facts.cite


def _first(facts: Facts) -> tuple[str | None, StepFacts]:
    failed = facts.in_state("failed")
    if failed:
        return next(iter(failed.items()))
    return None, StepFacts(code=facts.code, message=facts.message, cite=facts.cite)


def failed_step(facts: Facts) -> Answer:
    """The first step that failed; for a run that was stopped, the first that was running."""
    name, step = _first(facts)
    stopped = next(iter(facts.in_state("cancelled", "running").items()), (None, step))
    name, step = (name, step) if name or facts.status == "complete" else stopped
    return Answer(name, (step.cite,))


def code(facts: Facts) -> Answer:
    """The code of the failure."""
    _name, step = _first(facts)
    return Answer(None if facts.status == "complete" else step.code, (step.cite,))


def kind(facts: Facts) -> Answer:
    """The class, by words of the message."""
    _name, step = _first(facts)
    return Answer(None if facts.status == "complete" else _class(step.message), (step.cite,))


def _class(message: str) -> str:
    return next((name for name, pattern in WORDS if re.search(pattern, message)), "data")


def root(facts: Facts) -> Answer:
    """The objects that the message names, and the step."""
    if facts.status == "complete":
        _kind, odd, cite = _odd(facts)
        return Answer({"step": odd}, (cite,))
    name, step = _first(facts)
    objects = {kind: match[1] for kind, pattern in OBJECTS if (match := re.search(pattern, step.message))}
    return Answer({"step": name} | objects, (step.cite,))


def held_up(facts: Facts) -> Answer:
    """The steps that failed or were stopped, and their number."""
    stopped = facts.in_state("failed", "cancelled", "running", "skipped")
    total = facts.total - len(facts.in_state("complete"))
    return Answer(
        {"steps": set(stopped), "total": total}, tuple(step.cite for step in stopped.values()) or (facts.cite,)
    )


def written(facts: Facts) -> Answer:
    """Writers that completed have written; all others nothing."""
    writers = {name: step for name, step in facts.steps.items() if step.mode == "write"}
    states = {name: ("written" if step.state == "complete" else "nothing", False) for name, step in writers.items()}
    return Answer(states, tuple(step.cite for step in writers.values()))


def rows(facts: Facts) -> Answer:
    """The recorded counts of each step; the totals are sums."""
    counted = {f"{name}.{key}": count for name, step in facts.steps.items() for key, count in step.rows.items()}
    for total, mode, key in (("in", "read", "out"), ("out", "write", "out"), ("rejected", "", "rejected")):
        counted[total] = sum(step.rows.get(key, 0) for step in facts.steps.values() if not mode or step.mode == mode)
    return Answer(counted, tuple(step.cite for step in facts.steps.values()) or (facts.cite,))


def changed(_facts: Facts) -> Answer:
    """Nothing is recorded about changes."""
    return Answer(set())


def retry(_facts: Facts) -> Answer:
    """Nothing is recorded about this; a retry is usually safe."""
    return Answer(True)


def next_command(facts: Facts) -> Answer:
    """By the class of the failure."""
    _name, step = _first(facts)
    return Answer("look" if facts.status == "complete" else NEXT.get(_class(step.message), "run"))


def cause(facts: Facts) -> Answer:
    """The line that reports it."""
    _kind, _odd_step, cite = _odd(facts)
    return Answer(None, (cite if facts.status == "complete" else _first(facts)[1].cite,))


RULES: dict[str, Callable[[Facts], Answer]] = {
    "verdict": verdict,
    "step": failed_step,
    "code": code,
    "class": kind,
    "root": root,
    "held up": held_up,
    "written": written,
    "rows": rows,
    "changed": changed,
    "retry": retry,
    "next": next_command,
    "evidence": cause,
}
