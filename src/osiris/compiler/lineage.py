"""From which columns of which steps the columns of a SQL step come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.sql.lineage.lineage import Lineage, trace
from osiris.sql.safety.names import relation_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.model import JsonValue
    from osiris.sql.verdict import Verdict


def lineage_of(
    verdict: Verdict, inputs: Mapping[str, str], columns: Mapping[str, Sequence[str]], own: Sequence[str]
) -> Lineage:
    """Return the lineage of a statement that may run; `columns` has those of each step, `own` are its result's."""
    schemas = {name: columns[inputs[keys[0]]] for name, keys in relation_names(inputs).items()}
    if verdict.flow is None:
        raise ValueError("a statement that may not run has no lineage")
    return trace(verdict.flow, schemas, own)


def lineage_json(lineage: Lineage, inputs: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return a lineage as a manifest has it: in the names of the steps that are read, not of the relations."""
    steps = {name: inputs[keys[0]] for name, keys in relation_names(inputs).items()}
    columns = {
        name: [list(origin) for origin in sorted({(steps[o.relation], o.column, o.kind) for o in origins})]
        for name, origins in lineage.columns.items()
    }
    rows = [list(pair) for pair in sorted({(steps[relation], column) for relation, column in lineage.rows})]
    return {"columns": columns, "rows": rows}
