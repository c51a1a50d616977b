"""How the SQL steps of a plan can be computed in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.model import schema_from_json
from osiris.sql.cuts import OneTask, cut, feeds_to_json
from osiris.sql.safety.names import relation_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.model import JsonValue, Manifest
    from osiris.sql.cuts import Cut, Feed, Stage


@dataclass(frozen=True, slots=True)
class StepCut:
    """How one SQL step can be computed in parts, or why it is one task."""

    step: str
    answer: Cut | OneTask

    @property
    def text(self) -> str:
        """Return the answer in one line."""
        answer = self.answer
        if isinstance(answer, OneTask):
            at = answer.place
            place = f" (line {at.line}, column {at.column} of its statement)" if at and at.line else ""
            return f"{self.step} is one task. {answer.reason}{place}"
        stages = [f"{name} from {_fed(stage)}; " for name, stage in answer.stages.items()]
        fed = f"{''.join(stages)}then from {_fed(answer)}" if stages else _fed(answer)
        merged = ", then merged" if answer.merge else ""
        return f"{self.step} can be computed in parts ({fed}){merged}. {answer.reasons}"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the answer as JSON, with its `text`: the fields of a cut, or the reason and place of one task."""
        answer, head = self.answer, {"step": self.step, "text": self.text}
        if isinstance(answer, OneTask):
            at = answer.place
            return {**head, "reason": answer.reason, "line": at and at.line, "column": at and at.column}
        stages = [{"name": name, **_select(stage)} for name, stage in answer.stages.items()]
        return {**head, **_select(answer), "merge": answer.merge, "stages": stages}


def _fed(select: Cut | Stage) -> str:
    return ", ".join(f"{name} {_words(feed)}" for name, feed in select.feeds.items())


def _words(feed: Feed) -> str:
    return {"split": "cut anywhere", "whole": "whole", "bucket": f"by {', '.join(feed.columns)}"}[feed.how]


def _select(select: Cut | Stage) -> dict[str, JsonValue]:
    return {"feeds": feeds_to_json(select), "part": select.part, "why": select.why}


def step_cuts(manifest: Manifest) -> tuple[StepCut, ...]:
    """Return the answer for each SQL step of a plan, in the order of the plan."""
    return tuple(_cuts(manifest))


def _cuts(manifest: Manifest) -> Iterator[StepCut]:
    schemas = {step["id"]: schema_from_json(step["schema"] or []) for step in manifest.steps}
    for step in manifest.steps:
        for key, dialect in step["sql"].items() if step["mode"] == "transform" else ():
            if dialect == "duckdb" and key in step["config"]:
                names = {name: keys[0] for name, keys in relation_names(step["inputs"]).items()}
                inputs = {name: schemas[source] for name, source in step["inputs"].items()}
                yield StepCut(step["id"], cut(str(step["config"][key]), names, inputs))
