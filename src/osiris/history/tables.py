"""The tables of a run: pairs of steps of entries of `replicate`, the worst first, and why they failed."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from osiris.errors import Diagnostic
from osiris.history.deliveries import written_to
from osiris.secret import masked_problems
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from osiris.history.reading import Reading
    from osiris.history.record import RecordedStep
    from osiris.model import JsonValue

STATES = (
    "failed",
    "running",
    "not run",
    "rows rejected",
    "rows deleted",
    "rows written",
    "nothing new",
    "delivered before",
    "skipped",
)
"""How a table fared, the worst first: the run that this one resumes delivered it before, or it was not selected."""

_IN_COUNTS = {
    "rows rejected": "with rejected rows",
    "rows deleted": "with deleted rows",
    "rows written": "changed",
}
"""States as they are counted."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an entry: `name` in the source, `target` where it is written, `step` and `reader` the two steps.

    `rows` were written; None if it was not delivered. `deleted` were deleted, or marked as such. `since` is what its
    cursor read (the event `read_since`), and `problem` why it failed.
    """

    entry: str
    name: str
    target: str
    step: str
    reader: str
    state: str
    rows: int | None
    rejected: int
    deleted: int
    attempts: int
    since: Mapping[str, JsonValue] | None
    problem: Diagnostic | None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the table as JSON, with the code of its problem."""
        keys = ("entry", "name", "target", "step", "reader", "state", "rows", "rejected", "deleted", "since")
        return {**{key: getattr(self, key) for key in keys}, "code": self.problem.code if self.problem else None}

    @property
    def cause(self) -> tuple[str, str]:
        """Code and message of its problem, with its own names left out."""
        if self.problem is None:
            return "", ""
        names = {self.step, self.reader, self.name, self.name.rpartition(".")[2], self.target.partition(" in ")[0]}
        words = "|".join(map(re.escape, sorted(filter(None, names), key=len, reverse=True)))
        return self.problem.code, re.sub(rf"(?<!\w)(?:{words})(?!\w)", "…", self.problem.message)


class Cause(NamedTuple):
    """What several tables failed of: the problem of the first, and all of them."""

    problem: Diagnostic
    tables: Sequence[Table]

    @property
    def named(self) -> str:
        """The first tables, and how many more there are."""
        names = [table.name for table in self.tables]
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        return ", ".join(names[:_NAMED]) + more


def tables_of(reading: Reading) -> list[Table]:
    """Return the tables of a run's entries, by entry, the worst first, then in the order of the plan."""
    steps = {step.id: step for step in reading.run.steps}
    problems = {problem.step: problem.item for problem in reversed(reading.errors) if problem.step}
    pairs = (
        (step, steps.get(step.inputs[0])) for step in steps.values() if "entry" in step.plan and step.mode == "write"
    )
    tables = [_table(reading, writer, reader, problems) for writer, reader in pairs if reader is not None]
    order = {name: number for number, name in enumerate(dict.fromkeys(table.entry for table in tables))}
    return sorted(tables, key=lambda table: (order[table.entry], STATES.index(table.state)))


def _table(reading: Reading, writer: RecordedStep, reader: RecordedStep, problems: Mapping[str, Diagnostic]) -> Table:
    config = reader.plan["config"]
    rejected = sum(step.summary.get("rows_rejected") or 0 for step in (reader, writer))
    rows = writer.summary.get("rows_out") if writer.status == "complete" else None
    return Table(
        entry=writer.plan["entry"],
        name=".".join(str(config[key]) for key in ("schema", "table") if key in config),
        target=written_to(reading, writer) or "",
        step=writer.id,
        reader=reader.id,
        state=_state(writer, reader, rows, rejected),
        rows=rows,
        rejected=rejected,
        deleted=(writer.summary.get("deleted") or {}).get("rows") or 0,
        attempts=max(reader.summary.get("attempts") or 1, writer.summary.get("attempts") or 1),
        since=reader.summary.get("read_since"),
        problem=problems.get(writer.id) or problems.get(reader.id),
    )


def _state(writer: RecordedStep, reader: RecordedStep, rows: int | None, rejected: int) -> str:
    statuses = (writer.status, reader.status)
    if "failed" in statuses:
        return "failed"
    if writer.status == "complete":
        if (writer.summary.get("deleted") or {}).get("rows") and not rejected:
            return "rows deleted"
        is_unchanged = not rows and reader.summary.get("only_new")
        return "rows rejected" if rejected else "nothing new" if is_unchanged else "rows written"
    if writer.status == "skipped":
        return "skipped" if writer.output is None else "delivered before"
    return "running" if "running" in statuses else "not run"


def by_entry(tables: Iterable[Table]) -> dict[str, list[Table]]:
    """Return the tables of each entry."""
    entries: dict[str, list[Table]] = defaultdict(list)
    for table in tables:
        entries[table.entry].append(table)
    return dict(entries)


def states_of(tables: Iterable[Table]) -> dict[str, int]:
    """Return how many tables have each state, the worst first."""
    counts = Counter(table.state for table in tables)
    return {state: counts[state] for state in STATES if counts[state]}


def states_text(tables: Sequence[Table]) -> str:
    """Return how many tables there are, what was written, and how many tables have each state, as text."""
    states = ", ".join(f"{number:,} {_IN_COUNTS.get(state, state)}" for state, number in states_of(tables).items())
    rows, deleted = sum(table.rows or 0 for table in tables), sum(table.deleted for table in tables)
    removed = f", {deleted:,} deleted" if deleted else ""
    return f"{count(len(tables), 'table')}, {count(rows, 'row')} written{removed}: {states}"


def since_text(since: Mapping[str, JsonValue] | None) -> str:
    """Return what a cursor read, as text; empty if that is not known."""
    if not since:
        return ""
    begin = f"from {since['from']}" if since["from"] is not None else "from the start"
    begin += " again (set by 'osiris state')" if since.get("rewound_by") else ""
    end = f" to {since['to']}" if since["to"] is not None else ""
    holder = f"; held back by {since['held_back_by']}" if since.get("held_back_by") else ""
    again = f"; {count(since['rows_read_again'], 'row')} read again" if since.get("rows_read_again") else ""
    return f"{begin}{end}{holder}{again}"


def causes_of(tables: Iterable[Table]) -> list[Cause]:
    """Return what tables failed of, each with the tables, the most frequent first."""
    causes: dict[tuple[str, str], list[Table]] = defaultdict(list)
    for table in tables:
        if table.problem:
            causes[table.cause].append(table)
    ordered = sorted(causes.values(), key=lambda group: -len(group))
    return [Cause(group[0].problem, group) for group in ordered if group[0].problem]


def merged(diagnostics: Iterable[Diagnostic], tables: Iterable[Table]) -> list[Diagnostic]:
    """Return diagnostics with one for all tables that failed of the same, which names the first of them."""
    groups = [cause for cause in causes_of(tables) if len(cause.tables) > 1]
    of_text = {_text(table.problem): cause for cause in groups for table in cause.tables if table.problem}
    shown: set[str] = set()
    result: list[Diagnostic] = []
    for item in diagnostics:
        cause = of_text.get(_text(masked_problem(item)))
        if cause is None:
            result.append(item)
        elif (first := cause.tables[0].step) not in shown:
            shown.add(first)
            text = f"{item.message} ({count(len(cause.tables), 'table')}: {cause.named})"
            result.append(replace(item, message=text))
    return result


def masked_problem(item: Diagnostic) -> Diagnostic:
    """Return a diagnostic as a reading of the run has it, without values of data."""
    return Diagnostic.from_json(masked_problems(item.to_json()))


def _text(item: Diagnostic) -> tuple[str, str]:
    return item.code, item.message
