"""Twelve questions about a run, each with one rule that answers it from the package alone, the same for all faults.

The rules use only fields that `aiop.schema.json` describes. `package` has the members that fit the reader's budget;
`answer` is always one of them.
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
"""Kinds of commands by their first word; all other commands inspect something."""


@dataclass(frozen=True)
class Answer:
    """The answer of a rule, and the ids of its evidence."""

    value: Any
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question; `cited` says whether its answer must cite evidence."""

    name: str
    asks: str
    rule: Callable[[Package], Answer]
    cited: bool = True


def verdict(package: Package) -> Answer:
    """The status; for a complete run also the kind."""
    decision = package["answer"]["verdict"]
    status = decision["status"]
    return Answer(f"complete:{decision['kind']}" if status == "complete" else status, tuple(decision["evidence"]))


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
    """The subject of the failure, its step and that step's connection; else those of the first finding."""
    answer = package["answer"]
    failure = answer["failure"]
    if failure is None:
        return _odd(answer)
    objects = {"step": failure["step"]} | failure["subject"]
    nodes = {node["step"]: node for node in package.get("semantic", {}).get("nodes", ())}
    place = nodes.get(failure["step"], {}).get("connection")
    objects |= {"connection": objects.get("connection", place)} if place else {}
    return Answer(objects, tuple(failure["evidence"]))


def held_up(package: Package) -> Answer:
    """The links of the chain, and the steps that did not complete; and their number."""
    chain = package["answer"]["chain"]
    ledger = package.get("evidence", {}).get("steps", ())
    named = {link["step"] for link in chain["links"]}
    named |= {row["step"] for row in ledger if row["status"] in ("failed", "cancelled", "not_run")}
    return Answer({"steps": named, "total": chain["total"]}, tuple(chain["evidence"]))


def written(package: Package) -> Answer:
    """Each writer with its state, and whether its target may have been written partly."""
    outcome = package["answer"]["written"]
    return Answer(
        {row["step"]: (row["state"], row["partial"]) for row in outcome["writers"]}, tuple(outcome["evidence"])
    )


def rows(package: Package) -> Answer:
    """The totals, the table of the answer, and as many rows of `evidence.steps` as the budget allows."""
    counts = package["answer"]["rows"]
    table = [dict(zip(counts["steps"]["columns"], cells, strict=True)) for cells in counts["steps"]["rows"]]
    ledger = package.get("evidence", {}).get("steps", ())
    counted = {
        f"{row['step']}.{column}": row[column]
        for row in (*table, *ledger)
        for column in ("in", "out", "rejected", "filtered", "added")
        if row.get(column) is not None
    }
    return Answer(counted | {total: counts[total] for total in ("in", "out", "rejected")}, tuple(counts["evidence"]))


def changed(package: Package) -> Answer:
    """The changes, each as its area and its text; and the row totals that differ."""
    listed_changes = package["answer"]["changes"]
    listed = package.get("delta", {}).get("changes") or listed_changes["top"]
    changes = {(change["area"], f"{change['path']} {change['text']}") for change in listed}
    for total in ("rows_in", "rows_out"):
        pair = listed_changes[total]
        if pair and pair["before"] != pair["now"]:
            changes.add((total, f"{pair['before']} to {pair['now']}"))
    return Answer(changes, tuple(listed_changes["evidence"]))


def retry(package: Package) -> Answer:
    """Whether it is safe."""
    advice = package["answer"]["retry"]
    return Answer(advice["safe"], tuple(advice["evidence"]))


def next_command(package: Package) -> Answer:
    """The kind of the first command."""
    commands = package["answer"]["next"]
    return Answer(command_kind(commands[0]["command"]) if commands else None)


def cause(package: Package) -> Answer:
    """The evidence of the failure; else that of the rejected rows, of the first finding, and of the verdict."""
    answer = package["answer"]
    if answer["failure"]:
        cited = answer["failure"]["evidence"]
    else:
        odd = [*(answer["findings"][:1]), *filter(None, [answer["row_errors"]])]
        cited = [one for statement in odd for one in statement["evidence"]]
    return Answer(None, tuple(cited))


def command_kind(command: str) -> str:
    """Return the kind of a command."""
    words = command.split()
    return KINDS.get(words[1] if len(words) > 1 else "", "look")


def _of_failure(package: Package, field: str) -> Answer:
    answer = package["answer"]
    failure = answer["failure"]
    statement = failure or answer["verdict"]
    return Answer(failure[field] if failure else None, tuple(statement["evidence"]))


def _odd(answer: Mapping[str, Any]) -> Answer:
    """Return the objects of the first finding and of the largest group of rejected rows."""
    groups = answer["row_errors"]["top"] if answer["row_errors"] else []
    statements = [*answer["findings"][:1], *groups[:1]]
    objects = {key: statement[key] for statement in statements for key in ("step", "column") if statement.get(key)}
    cited = [one for finding in answer["findings"][:1] for one in finding["evidence"]]
    return Answer(objects, tuple(cited or answer["verdict"]["evidence"]))


QUESTIONS = (
    Question("verdict", "Did it succeed, and if so, is anything suspicious?", verdict),
    Question("step", "Which step failed?", failed_step),
    Question("code", "With which code?", code),
    Question("class", "What class of failure is it?", kind),
    Question("root", "Which table, column, file, connection … is the cause?", root),
    Question("held up", "Which steps did not complete because of it?", held_up),
    Question("written", "What did each writer write, and may it be incomplete?", written),
    Question("rows", "How many rows went where?", rows),
    Question("changed", "What changed since the last success?", changed),
    Question("retry", "Is it safe to run it again?", retry),
    Question("next", "What kind of command comes next?", next_command, cited=False),
    Question("evidence", "What shows the cause?", cause),
)
