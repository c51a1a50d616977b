"""Read steps that are computed inside the statement of a transform, as the plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.table import Relation, RowStream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    import pyarrow as pa

    from osiris.model import JsonValue, Schema


def fused_in(names: Collection[str], steps: Mapping[str, Mapping[str, JsonValue]]) -> set[str]:
    """Return the fused ones among the steps of a group: those whose statement is in it too."""
    return {source for name in names for source in steps[name]["fused"] if source in names}


def fused_rows(relation: Relation, schema: Schema) -> RowStream:
    """Return what stands for the output of a fused step: whoever pulls it fails, and the group runs again unfused."""
    return RowStream(schema, "fixed", _no_rows(), relation=relation)


def _no_rows() -> Iterator[pa.RecordBatch]:
    yield from ()
    raise TypeError("the rows of a fused step can be read only by way of their relation")
