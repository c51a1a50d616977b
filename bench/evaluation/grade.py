"""What a case came to: right, asked, refused, or wrong; what was made is judged by its target and by its rows."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

import yaml
from bench.evaluation.rows import read_rows, same_rows
from bench.evaluation.worlds import gold_rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bench.evaluation.cases import Case, World
    from bench.evaluation.hold import Held

    from osiris.model import JsonValue

Verdict = Literal["right", "asked", "refused", "failed", "wrong"]
"""`right` is what was expected. Else: it asked, or said that it cannot, or what it made did not run (nothing came of
it), or what came of it is not what was wanted. `wrong` without a question is the worst that there is."""

_KINDS = {"filesystem.csv_writer": "csv", "filesystem.parquet_writer": "parquet", "filesystem.json_writer": "json"}
_KINDS |= {"sqlite.writer": "sqlite", "duckdb.writer": "duckdb"}


@dataclass(frozen=True, slots=True)
class Graded:
    """The verdict on a case, and why it is no better."""

    case: Case
    held: Held
    verdict: Verdict
    why: str = ""

    @property
    def is_wrong_without_asking(self) -> bool:
        """Tell whether something wrong was made, and nobody was asked."""
        return self.verdict == "wrong" and not self.held.questions


def grade(case: Case, world: World, project: Path, held: Held) -> Graded:
    """Return the verdict on a case that was held in a project; raises duckdb.Error if its gold is wrong."""
    if held.error is not None and held.run is None:
        return Graded(case, held, "failed", held.error)
    return _grade(case, world, project, held)


def _grade(case: Case, world: World, project: Path, held: Held) -> Graded:
    if case.expect == "refusal":
        verdict: Verdict = "wrong" if held.run else "right"
        return Graded(case, held, verdict, "made a pipeline" if held.run else "")
    if case.expect == "question" and not held.questions:
        verdict = "wrong" if held.run else "refused"
        return Graded(case, held, verdict, "asked nothing")
    if case.expect == "question" and case.answer is None:
        return Graded(case, held, "right")
    if held.run is None:
        nothing: Verdict = "failed" if held.validations else "refused"
        open_question = len(held.questions) > (case.expect == "question")
        return Graded(case, held, "asked" if open_question else nothing, "; ".join(held.said[-1:]))
    if not held.run["ok"]:
        return Graded(case, held, "failed", str(held.run["diagnostics"][:1]))
    why = _difference(case, world, project, held)
    return Graded(case, held, "wrong" if why else "right", why)


def _difference(case: Case, world: World, project: Path, held: Held) -> str:
    """Return how what was made differs from the gold; empty if it does not."""
    import duckdb

    gold = dict(case.gold or {})
    made = _target(str(held.oml))
    wanted = gold["target"]
    for key in ("kind", "path", "connection", "table"):
        if wanted.get(key) is not None and made[key] != wanted[key]:
            return f"{key} of the target is {made[key]}, not {wanted[key]}"
    if made["path"] is not None and wanted.get("path") is None and not made["path"].startswith("output/"):
        return f"it wrote {made['path']}, which nobody named"
    if made["table"] is not None and (made["mode"], made["key"]) != (gold["mode"], gold.get("key") or []):
        return f"mode is {made['mode']} by {made['key']}, not {gold['mode']} by {gold.get('key')}"
    types, rows = gold_rows(world, gold["sql"])
    try:
        found = read_rows(made["kind"], _place(project, made), made["table"])
    except (OSError, duckdb.Error, sqlite3.Error, ValueError) as error:
        return f"the target cannot be read: {error}"
    if not same_rows(types, rows, found, ordered=bool(gold.get("ordered"))):
        return f"rows differ: {len(found)} of {len(found[0]) if found else 0} columns, {found[:2]} and not {rows[:2]}"
    return ""


def _target(oml: str) -> dict[str, JsonValue]:
    """Return where a pipeline writes: kind, path, connection (alias), table, mode and key."""
    step = yaml.safe_load(oml)["steps"][-1]
    config: Mapping[str, JsonValue] = step["config"]
    connection = config.get("connection")
    return {
        "kind": _KINDS.get(step["component"], step["component"]),
        "path": config.get("path"),
        "connection": connection.partition(".")[2] if connection else None,
        "table": config.get("table"),
        "mode": config.get("write_mode", "append"),
        "key": list(config.get("primary_key") or []) if config.get("write_mode") == "upsert" else [],
    }


def _place(project: Path, made: Mapping[str, JsonValue]) -> Path:
    if made["path"] is not None:
        return project / PurePosixPath(made["path"])
    return project / f"{made['connection']}.{'db' if made['kind'] == 'sqlite' else 'duckdb'}"
