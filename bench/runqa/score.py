"""Injects all faults, asks all questions of all readers with a small and a large token budget, and grades the answers.

A token counts as 2.5 bytes, as in decision 0011: 2,000 tokens are enough for the member `answer` alone. A reader whose
budget is smaller than the document reads its members in order, as long as they fit completely. An answer counts if it
is right and each id that it cites belongs to exactly one object of the document.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.runqa.baselines import RULES, read_events, read_results
from bench.runqa.desk import Desk
from bench.runqa.faults import FAULTS
from bench.runqa.questions import QUESTIONS, Answer
from bench.runqa.truth import SESSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from bench.runqa.questions import Question
    from bench.runqa.truth import Fault, Truth
    from tests.servers import MariaDB, Postgres

BYTES_A_TOKEN = 2.5
BUDGETS = {75_000: 100.0, 8_000: 95.0, 2_000: 90.0}
"""Percentage of right answers that the package must reach, by token budget."""
AS_WRITTEN = 75_000
ENOUGH = 10
"""If many steps were blocked, at least this many must be named, and their total number given."""
READERS = ("package", "events.jsonl", "run_results")
ALIKE = {
    "table": ("table", "name"),
    "column": ("column", "key", "name"),
    "key": ("key", "column", "name"),
    "file": ("file", "path"),
    "signal": ("signal", "status"),
}
"""Accepted names for each kind of object: those of a subject depend on the code's text."""


@dataclass(frozen=True)
class Case:
    """A fault that was caused: its session, and its packages by budget."""

    fault: Fault
    session: Path
    packages: Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Grade:
    """One answer, graded."""

    reader: str
    budget: int
    fault: str
    question: str
    right: bool
    expected: str
    answered: str


def bring_about(fault: Fault, folder: Path, servers: Mapping[str, Postgres | MariaDB]) -> Case:
    """Cause a fault in a fresh project in this folder, and package its session for all budgets."""
    desk = Desk(folder, servers)
    session = desk.folder / "logs" / fault.inject(desk)
    packages = {}
    for budget in BUDGETS:
        package = session / "aiop" / f"{session.name}_aiop.json"
        if budget != AS_WRITTEN:
            package = desk.folder / f"{budget}.json"
            room = str(round(budget * BYTES_A_TOKEN))
            desk.osiris("logs", "aiop", session.name, "--max-core-bytes", room, "--output", package.name)
        packages[budget] = json.loads(package.read_text(encoding="utf-8"))
    return Case(fault, session, packages)


def grade_case(case: Case) -> Iterator[Grade]:
    """Ask all questions about a case, for all readers and budgets."""
    for budget, package in case.packages.items():
        room = round(budget * BYTES_A_TOKEN)
        shown, counts = members(package, room), Counter(ids(package))
        for question in QUESTIONS:
            yield _graded(case, "package", budget, question, question.rule(shown), counts)
        for reader, read in (("events.jsonl", read_events), ("run_results", read_results)):
            facts, lines = read(case.session, room)
            for question in QUESTIONS:
                yield _graded(case, reader, budget, question, RULES[question.name](facts), Counter(lines))


def members(package: Mapping[str, Any], room: int) -> dict[str, Any]:
    """Return the members of a package that fit into a number of bytes, in order."""
    shown = {}
    for name, member in package.items():
        if not isinstance(member, dict):
            continue
        room -= len(json.dumps(member, ensure_ascii=False, separators=(",", ":")).encode())
        if room < 0:
            break
        shown[name] = member
    return shown


def ids(package: Mapping[str, Any]) -> Iterator[str]:
    """Return the ids of everything that can be cited."""
    for items in (*package["evidence"].values(), package["delta"]["changes"], package["semantic"]["nodes"]):
        yield from (item["id"] for item in items)


def _graded(case: Case, reader: str, budget: int, question: Question, answer: Answer, counts: Counter[str]) -> Grade:
    truth = case.fault.truth
    expected, right = GRADERS[question.name](truth, answer, case)
    resolved = [one for one in answer.evidence if counts[one] == 1]
    shown = len(resolved) == len(answer.evidence) and (bool(resolved) or not question.cited or empty(answer.value))
    answered = f"{answer.value!r}, cites {list(answer.evidence)[:4]}" + ("" if shown else ", which does not resolve")
    return Grade(reader, budget, case.fault.name, question.name, right and shown, str(expected), answered)


def empty(value: Any) -> bool:
    """Return whether an answer states nothing that needs evidence: that no step was blocked."""
    return isinstance(value, dict) and value.get("total") == 0


def _word(expected: Callable[[Truth], Any]) -> Callable[[Truth, Answer, Case], tuple[Any, bool]]:
    return lambda truth, answer, _case: (expected(truth), answer.value == expected(truth))


def _one_of(truth: Truth, answer: Answer, _case: Case) -> tuple[Any, bool]:
    return set(truth.steps), answer.value in truth.steps if truth.steps else answer.value is None


def _root(truth: Truth, answer: Answer, case: Case) -> tuple[Any, bool]:
    expected = {kind: name.replace(SESSION, case.session.name) for kind, name in truth.root.items()}
    return expected, all(_named(kind, name, answer.value) for kind, name in expected.items())


def _named(kind: str, names: str, answered: Mapping[str, str | None]) -> bool:
    """Return whether an object is named: by its name, a table also with its schema, a file also with its folders."""
    before = {"table": ".", "file": "/"}.get(kind)
    values = [value for like in ALIKE.get(kind, (kind,)) if (value := answered.get(like))]
    return any(
        value == name or (before is not None and value.endswith(before + name))
        for value in values
        for name in names.split("|")
    )


def _held_up(truth: Truth, answer: Answer, _case: Case) -> tuple[Any, bool]:
    must, may = truth.held_up.must, truth.held_up.may
    named, total = answer.value["steps"], answer.value["total"]
    enough = len(named & must) >= min(len(must), ENOUGH)
    expected = f"{sorted(must)[:ENOUGH]}, {len(must)} to {len(must | may)}"
    return expected, named <= must | may and enough and len(must) <= total <= len(must | may)


def _written(truth: Truth, answer: Answer, _case: Case) -> tuple[Any, bool]:
    actual = answer.value
    states = all(actual[step][0] in right.split("|") for step, right in truth.written.items() if step in actual)
    whole = all(part is False for _state, part in actual.values())
    return (truth.written, truth.part), states and actual.keys() == truth.written.keys() and whole is not truth.part


def _rows(truth: Truth, answer: Answer, _case: Case) -> tuple[Any, bool]:
    return truth.rows, all(answer.value.get(key) == count for key, count in truth.rows.items())


def _changed(truth: Truth, answer: Answer, _case: Case) -> tuple[Any, bool]:
    expected = [(areas.split("|"), word) for areas, word in truth.changed]
    named = all(any(area in areas and word in text for area, text in answer.value) for areas, word in expected)
    allowed = {area for areas, _word in expected for area in areas} | truth.may_change | {"rows_in", "rows_out"}
    return set(truth.changed), named and {area for area, _text in answer.value} <= allowed


def _next(truth: Truth, answer: Answer, _case: Case) -> tuple[Any, bool]:
    return set(truth.next), answer.value in truth.next


def _evidence(truth: Truth, answer: Answer, case: Case) -> tuple[Any, bool]:
    about = truth.steps or {truth.root["step"]}
    expected = f"something about {truth.code or ''} {set(about)}".replace("  ", " ")
    return expected, any(_shows(one, truth, about, case.session) for one in answer.evidence)


def _shows(cited: str, truth: Truth, about: Iterable[str], session: Path) -> bool:
    """Return whether the record that an id names is about the cause."""
    place, _dot, name = cited.partition(".")
    if place == "err":
        diagnostics = json.loads((session / "run.json").read_text(encoding="utf-8"))["diagnostics"]
        return bool(diagnostics[int(name) - 1]["code"] == truth.code)
    if place == "ev":
        lines = map(json.loads, (session / "events.jsonl").read_text(encoding="utf-8").splitlines())
        (event,) = (event for event in lines if str(event["seq"]) == name)
        return event.get("step") in about or (truth.code is not None and event.get("code") == truth.code)
    return place in ("step", "rows", "read", "transform", "write") and any(
        name == step or name.startswith(f"{step}.") for step in about
    )


GRADERS: Mapping[str, Callable[[Truth, Answer, Case], tuple[Any, bool]]] = {
    "verdict": _word(lambda truth: truth.verdict),
    "step": _one_of,
    "code": _word(lambda truth: truth.code),
    "class": _word(lambda truth: truth.kind),
    "root": _root,
    "held up": _held_up,
    "written": _written,
    "rows": _rows,
    "changed": _changed,
    "retry": _word(lambda truth: truth.retry),
    "next": _next,
    "evidence": _evidence,
}


def bring_all_about(folder: Path, servers: Mapping[str, Postgres | MariaDB]) -> list[Case]:
    """Cause all faults, each in its own project below a folder."""
    return [bring_about(fault, folder / fault.name, servers) for fault in FAULTS]


def grade_all(cases: Iterable[Case]) -> list[Grade]:
    """Grade all answers about a list of cases."""
    return [grade for case in cases for grade in grade_case(case)]


def percentage(grades: Iterable[Grade], reader: str, budget: int) -> float:
    """Return the percentage of right answers of a reader."""
    right = [grade.right for grade in grades if (grade.reader, grade.budget) == (reader, budget)]
    return 100 * sum(right) / len(right)


def misses(grades: Iterable[Grade], reader: str) -> list[str]:
    """Return a line for each answer of a reader that is not right."""
    return [
        f"{g.fault}, {g.question}, at {g.budget:,} tokens: expected {g.expected}, answered {g.answered}"
        for g in grades
        if g.reader == reader and not g.right
    ]


def table(grades: list[Grade]) -> str:
    """Return the number of right answers of each reader, by question and budget."""
    columns = [(reader, budget) for reader in READERS for budget in BUDGETS]
    lines = [f"{'':10}" + "".join(f"{reader} {budget // 1000}k".rjust(18) for reader, budget in columns)]
    for question in QUESTIONS:
        cells = [_count(grades, question.name, *column) for column in columns]
        lines.append(f"{question.name:10}" + "".join(cell.rjust(18) for cell in cells))
    lines.append(f"{'all':10}" + "".join(f"{percentage(grades, *column):.1f} %".rjust(18) for column in columns))
    return "\n".join(lines)


def _count(grades: Iterable[Grade], question: str, reader: str, budget: int) -> str:
    answers = [g.right for g in grades if (g.question, g.reader, g.budget) == (question, reader, budget)]
    return f"{sum(answers)} of {len(answers)}"
