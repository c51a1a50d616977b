"""Twelve questions about a run, each with one rule that answers it from a package alone, the same for every fault.

The rules use the fields that `aiop.schema.json` describes, and nothing else. `package` holds the members that the
reader had room for; `answer` is always among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Package = Mapping[str, Any]

KINDS = {
    "run": "run",
    "compile": "recompile",
    "validate": "recompile",
    "connections": "connection",
    "discover": "connection",
}
"""First word of a command to its kind; all others look at something."""


@dataclass(frozen=True)
class Answer:
    """What a rule says, and the ids of the evidence that it rests on."""

    value: Any
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question; `cited` tells whether its answer must cite evidence."""

    name: str
    asks: str
    rule: Callable[[Package], Answer]
    cited: bool = True


def verdict(package: Package) -> Answer:
    """The status; for a complete run also the kind."""
    said = package["answer"]["verdict"]
    status = said["status"]
    return Answer(f"complete:{said['kind']}" if status == "complete" else status, tuple(said["evidence"]))


def failed_step(package: Package) -> Answer:
    """The step of the failure."""
    return _of_failure(package, "step")


def code(package: Package) -> Answer:
    """The code of the failure."""
    return _of_failure(package, "code")


def kind(package: Package) -> Answer:
    """The class of the failure."""
    return _of_failure(package, "class")


def root(package: Package) -> Answer:
    """The subject of the failure, its step and the connection of that; else those of what looks odd."""
    answer = package["answer"]
    failure = answer["failure"]
    if failure is None:
        return _odd(answer)
    found = {"step": failure["step"]} | failure["subject"]
    nodes = {node["step"]: node for node in package.get("semantic", {}).get("nodes", ())}
    place = nodes.get(failure["step"], {}).get("connection")
    found |= {"connection": found.get("connection", place)} if place else {}
    return Answer(found, tuple(failure["evidence"]))


def held_up(package: Package) -> Answer:
    """The links of the chain, and the steps that the ledger says did not end well; how many there are."""
    chain = package["answer"]["chain"]
    ledger = package.get("evidence", {}).get("steps", ())
    named = {link["step"] for link in chain["links"]}
    named |= {row["step"] for row in ledger if row["status"] in ("failed", "cancelled", "not_run")}
    return Answer({"steps": named, "total": chain["total"]}, tuple(chain["evidence"]))


def written(package: Package) -> Answer:
    """Each writer with its state, and whether its target may hold a part."""
    said = package["answer"]["written"]
    return Answer({row["step"]: (row["state"], row["partial"]) for row in said["writers"]}, tuple(said["evidence"]))


def rows(package: Package) -> Answer:
    """The totals, the table of the answer, and the ledger as far as there is room for it."""
    said = package["answer"]["rows"]
    table = [dict(zip(said["steps"]["columns"], cells, strict=True)) for cells in said["steps"]["rows"]]
    ledger = package.get("evidence", {}).get("steps", ())
    counted = {
        f"{row['step']}.{column}": row[column]
        for row in (*table, *ledger)
        for column in ("in", "out", "rejected", "filtered", "added")
        if row.get(column) is not None
    }
    return Answer(counted | {total: said[total] for total in ("in", "out", "rejected")}, tuple(said["evidence"]))


def changed(package: Package) -> Answer:
    """The changes, each as its area and what is said of it; and totals of rows that differ."""
    said = package["answer"]["changes"]
    listed = package.get("delta", {}).get("changes") or said["top"]
    found = {(change["area"], f"{change['path']} {change['text']}") for change in listed}
    for total in ("rows_in", "rows_out"):
        pair = said[total]
        if pair and pair["before"] != pair["now"]:
            found.add((total, f"{pair['before']} to {pair['now']}"))
    return Answer(found, tuple(said["evidence"]))


def retry(package: Package) -> Answer:
    """Whether it is safe."""
    said = package["answer"]["retry"]
    return Answer(said["safe"], tuple(said["evidence"]))


def next_command(package: Package) -> Answer:
    """The kind of the first command."""
    commands = package["answer"]["next"]
    return Answer(command_kind(commands[0]["command"]) if commands else None)


def cause(package: Package) -> Answer:
    """The ids that the failure cites; else those of the rows set aside, of the first finding, and of the verdict."""
    answer = package["answer"]
    if answer["failure"]:
        cited = answer["failure"]["evidence"]
    else:
        odd = [*(answer["findings"][:1]), *filter(None, [answer["row_errors"]])]
        cited = [one for statement in odd for one in statement["evidence"]]
    return Answer(None, tuple(cited))


def command_kind(command: str) -> str:
    """Return which kind of command it is."""
    words = command.split()
    return KINDS.get(words[1] if len(words) > 1 else "", "look")


def _of_failure(package: Package, field: str) -> Answer:
    answer = package["answer"]
    failure = answer["failure"]
    said = failure or answer["verdict"]
    return Answer(failure[field] if failure else None, tuple(said["evidence"]))


def _odd(answer: Mapping[str, Any]) -> Answer:
    """Return what the first finding and the largest group of rows set aside are about."""
    groups = answer["row_errors"]["top"] if answer["row_errors"] else []
    statements = [*answer["findings"][:1], *groups[:1]]
    found = {key: said[key] for said in statements for key in ("step", "column") if said.get(key)}
    cited = [one for finding in answer["findings"][:1] for one in finding["evidence"]]
    return Answer(found, tuple(cited or answer["verdict"]["evidence"]))


QUESTIONS = (
    Question("verdict", "Did it work, and if so, is anything odd?", verdict),
    Question("step", "Which step failed?", failed_step),
    Question("code", "With which code?", code),
    Question("class", "What class of failure is it?", kind),
    Question("root", "Which table, column, file, connection … is the cause?", root),
    Question("held up", "Which steps did not end well because of it?", held_up),
    Question("written", "What did each writer leave, and may it be a part?", written),
    Question("rows", "How many rows went where?", rows),
    Question("changed", "What changed since the last success?", changed),
    Question("retry", "Is it safe to run it again?", retry),
    Question("next", "What kind of command comes next?", next_command, cited=False),
    Question("evidence", "What shows the cause?", cause),
)
