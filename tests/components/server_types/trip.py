"""Pipelines that carry columns of a server's table to a target, and the result there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.components.server_types.forms import documents, form_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.components.server_types.bench import Bench
    from tests.components.server_types.samples import Sample
    from tests.components.server_types.targets import Target

COMPACT, UNSIGNED = "documents without spaces", "-0 as 0"
_COLUMN = re.compile(r"[Cc]olumn '(c\d+)'")


class Outcome(NamedTuple):
    """The outcome of a column at a target: its type there, or the code and text of a rejection.

    `early`: rejected before a row was read. `note` names the equal value that the target has; `wrong`, which must never
    be set, shows values that are not equal.
    """

    stored: str = ""
    code: str = ""
    told: str = ""
    hint: str = ""
    early: bool = False
    note: str = ""
    wrong: str = ""


@dataclass(frozen=True)
class Columns:
    """A source table: each of its columns `c0` and so on has the values of a sample; `n` numbers its rows."""

    family: str
    table: str
    samples: Sequence[Sample]
    config: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """The names of the columns, without `n`."""
        return [f"c{number}" for number in range(len(self.samples))]

    @property
    def rows(self) -> int:
        """The number of rows: the most values of a column, plus one before and one after them."""
        return 2 + max(len(sample.values) for sample in self.samples)

    def sample(self, name: str) -> Sample:
        """Return the sample of a column."""
        return self.samples[int(name[1:])]

    def statements(self) -> Iterator[str]:
        """Yield the statements that create and fill it."""
        declared = "".join(f", {name} {sample.type}" for name, sample in zip(self.names, self.samples, strict=True))
        yield f"CREATE TABLE {self.table} (n INTEGER PRIMARY KEY{declared})"
        names = "".join(f", {name}" for name in self.names)
        for row in range(self.rows):
            cells = "".join(f", {sample.cell(row)}" for sample in self.samples)
            yield f"INSERT INTO {self.table} (n{names}) VALUES ({row}{cells})"

    def read(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the config of a step that reads some columns."""
        return {"connection": f"@{self.family}.source", "table": self.table, "columns": ["n", *names], **self.config}


class Lane(NamedTuple):
    """Columns that go to a target together, in two steps."""

    target: Target
    names: Sequence[str]


Found = dict[tuple[str, str], Outcome]
"""What became of columns, by the title of the target and their name."""


class Trip:
    """Pipelines that carry columns to targets, until it is known for each whether it is rejected.

    The lanes of a pipeline run one after the other, so lanes before a failure need not run again.
    """

    def __init__(self, bench: Bench, columns: Columns, lanes: Sequence[Lane]) -> None:
        self.bench, self.columns, self.lanes = bench, columns, list(lanes)
        self.found: Found = {}
        self.runs = 0
        self.place = bench.place()

    def planned(self) -> dict[str, str]:
        """Compile the first pipeline; returns the types of the first lane by name, or none if some are rejected."""
        told = self._call("compile")
        self.found = {key: outcome for key, outcome, _ in self._refusals(told)}
        steps = told["data"]["steps"] if told["ok"] else []
        return {field["name"]: field["type"] for step in steps if step["id"] == "rows0" for field in step["schema"]}

    def outcomes(self) -> Found:
        """Return the outcome of each column of each lane."""
        while self.lanes:
            self._advance()
            left = (
                Lane(to, [name for name in names if (to.title, name) not in self.found]) for to, names in self.lanes
            )
            self.lanes = [lane for lane in left if lane.names]
        return self.found

    def _advance(self) -> None:
        told, lanes = self._call("run"), list(self.lanes)
        steps = (told["data"] or {}).get("steps", {})
        for number, lane in enumerate(lanes):
            if steps.get(f"out{number}", {}).get("status") == "complete":
                self.found |= self._kept(self._name(number), lane)
        for key, outcome, lane in self._refusals(told):
            if key[1]:
                self.found[key] = outcome
            else:
                self._split(lane, outcome)

    def _split(self, lane: Lane, outcome: Outcome) -> None:
        """Split a lane in two if a failure names no column, which must never happen; a lane of one column is then
        wrong.
        """
        target, names = lane
        if len(names) == 1:
            self.found[target.title, names[0]] = outcome._replace(wrong=outcome.told)
        else:
            middle = len(names) // 2
            self.lanes.remove(lane)
            self.lanes[:0] = [Lane(target, names[:middle]), Lane(target, names[middle:])]

    def _name(self, lane: int) -> str:
        return f"{self.columns.family}_{self.columns.table}_{self.place.root.name}_{self.runs}_{lane}"

    def _call(self, command: str) -> dict[str, Any]:
        self.runs += 1
        steps = [step for number, lane in enumerate(self.lanes) for step in self._steps(number, lane)]
        return self.bench.osiris(self.place, command, self._name(0), steps)

    def _steps(self, number: int, lane: Lane) -> Iterator[dict[str, Any]]:
        read, out = f"rows{number}", f"out{number}"
        source, config = f"{self.columns.family}.extractor", self.columns.read(lane.names)
        yield {"id": read, "component": source, "mode": "read", "needs": [], "config": config}
        written = lane.target.config(self._name(number))
        yield {"id": out, "component": lane.target.component, "mode": "write", "needs": [read], "config": written}

    def _refusals(self, told: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Outcome, Lane]]:
        """Yield the rejections with their reasons: a target and a column, or nothing if none is named, and the lane."""
        data = told["data"] or {}
        ran = data["steps"].values() if "session" in data else ()
        early = all(step["status"] in ("failed", "not_run") for step in ran)
        for each in told["diagnostics"]:
            if each["severity"] == "error":
                lane, match = self.lanes[int(each["pointer"].split("/")[2]) // 2], _COLUMN.search(each["message"])
                outcome = Outcome(code=each["code"], told=each["message"], hint=each["hint"] or "", early=early)
                yield (lane.target.title, match[1] if match else ""), outcome, lane

    def _kept(self, written: str, lane: Lane) -> Found:
        forms = {name: self.columns.sample(name).form for name in lane.names}
        found, title = lane.target.read(self.place, written, {"n": "int32", **forms}), lane.target.title
        return {(title, name): self._compared(name, found.types[name], found.values[name]) for name in lane.names}

    def _compared(self, name: str, stored: str, values: list[Any]) -> Outcome:
        sample = self.columns.sample(name)
        texts = sample.texts(self.columns.rows)
        try:
            before, after = ([form_of(sample.form, value) for value in given] for given in (texts, values))
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            return Outcome(stored, wrong=f"{error!r} in {values}")
        if before == after:
            return Outcome(stored)
        note = _note(sample.form, before, after)
        return Outcome(stored, note=note, wrong="" if note else _difference(before, after))


def _note(form: str, before: list[Any], after: list[Any]) -> str:
    """Return how equal values differ in spelling; empty if they do not."""
    if "json" in form and documents(form, before) == documents(form, after):
        return COMPACT
    return UNSIGNED if form.startswith("float") and ["0.0" if v == "-0.0" else v for v in before] == after else ""


def _difference(before: list[Any], after: list[Any]) -> str:
    """Return the first value that changed."""
    pairs = (f"{was!r} became {now!r}" for was, now in zip(before, after, strict=False) if was != now)
    return next(pairs, f"{len(before)} rows became {len(after)}")
