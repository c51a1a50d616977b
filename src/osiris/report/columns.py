"""The column flow of a plan as the page's script walks it: numbers in place of names, and only direct arrows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.compare import KINDS, label_of
from osiris.report.words import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.model import JsonValue, Manifest

MOST_COLUMNS = 200
"""So many columns of a step are shown, and can be asked where they come from; the rest is counted."""


def column_flow(plan: Manifest) -> list[JsonValue]:
    """Return for each step, in their order, what the script needs to walk up from a column.

    `label` and `columns` are texts, `source` tells that nothing is above. `arrows` has for a column, by its number, a
    list of step, column and kind (number of `compare.KINDS`) that it is made of, and `rows` the columns that decide
    which rows there are. A step that does not tell has neither, but `reads`: the steps whose columns it may be made of.
    A writer has `copies`: the step whose columns it writes as they are.
    """
    number = {step["id"]: index for index, step in enumerate(plan.steps)}
    names: dict[str, list[str]] = {}
    for step in plan.steps:
        names[step["id"]] = _names(step, names)
    place = {step: {name: index for index, name in enumerate(columns)} for step, columns in names.items()}
    connections = plan.data.get("connections", {})
    return [
        {
            "label": visible(step["id"] if step["mode"] == "transform" else label_of(step, connections)),
            "step": visible(step["id"]),
            "source": not step["inputs"],
            "columns": [visible(name) for name in names[step["id"]]],
            **_origin(step, number, place),
        }
        for step in plan.steps
    ]


def _names(step: Mapping[str, JsonValue], above: Mapping[str, list[str]]) -> list[str]:
    if step["mode"] == "write":
        return [name for source in _inputs(step) for name in above[source]]
    return [column["name"] for column in step["schema"] or ()]


def _inputs(step: Mapping[str, JsonValue]) -> list[str]:
    return list(dict.fromkeys(step["inputs"].values()))


def _origin(
    step: Mapping[str, JsonValue], number: Mapping[str, int], place: Mapping[str, Mapping[str, int]]
) -> dict[str, JsonValue]:
    inputs = [number[source] for source in _inputs(step)]
    if step["mode"] == "write" and len(inputs) == 1:
        return {"copies": inputs[0]}
    lineage = step.get("lineage")
    if lineage is None:
        return {"reads": inputs} if inputs else {}
    return {
        "inputs": inputs,
        "arrows": {
            place[step["id"]][column]: [
                [number[source], place[source][name], KINDS.index(kind)] for source, name, kind in arrows
            ]
            for column, arrows in lineage["columns"].items()
            if arrows and column in place[step["id"]]
        },
        "rows": [[number[source], place[source][name]] for source, name in lineage["rows"]],
    }
