"""Pairs: the extractor with a cursor behind a writer, and what the state of the two depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.canonical import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.compiler.passes import TypedPipeline
    from osiris.model import JsonValue, Step

_OWN = frozenset(
    ("batch_size", "connections", "max_cell_bytes", "columns", "cursor", "retry", "timeout", "checks", "on_reject")
)
"""Config keys on which rows do not depend, or which the form of a state has elsewhere."""


def states(typed: TypedPipeline) -> dict[str, dict[str, JsonValue]]:
    """Return, for each writer behind a cursor, its `reader`, its `source` as text, and the `form` of its state."""
    steps = {step.id: step for step in typed.steps}
    chains = ((step, list(_above(step, steps))) for step in typed.steps if step.mode == "write")
    return {
        writer.id: _state(typed, chain, reader)
        for writer, chain in chains
        for reader in chain
        if "cursor" in reader.config
    }


def _above(step: Step, steps: Mapping[str, Step]) -> Iterator[Step]:
    """Yield the steps whose rows reach a step."""
    seen, todo = set[str](), [*step.inputs.values()]
    while todo:
        if (name := todo.pop()) not in seen:
            seen.add(name)
            yield steps[name]
            todo += steps[name].inputs.values()


def _state(typed: TypedPipeline, chain: list[Step], reader: Step) -> dict[str, JsonValue]:
    between = [reader, *(step for step in chain if step.mode == "transform")]
    queries = [_meaning(typed, step) for step in between]
    cursor = reader.config["cursor"]
    # What the file says of who stamps the rows does not change which are read.
    form = {
        "cursor": fingerprint({k: v for k, v in cursor.items() if k != "stamped_by"} if cursor != "files" else cursor),
        "query": fingerprint(queries),
    }
    return {"reader": reader.id, "source": source_of(reader), "form": form}


def source_of(reader: Step) -> str:
    """Return the source of a state as text; the step is explicit."""
    table = ".".join(str(reader.config[key]) for key in ("schema", "table") if key in reader.config)
    where = table or str(reader.config.get("path", "query"))
    return f"{reader.connection or ''} {where}".strip()


def _meaning(typed: TypedPipeline, step: Step) -> dict[str, JsonValue]:
    """Return what the rows of a step depend on, without defaults, which later versions may add."""
    properties = typed.prepared.specs[step.component].config["properties"]
    defaults = {key: schema.get("default") for key, schema in properties.items()}
    config = {k: v for k, v in step.config.items() if k not in _OWN and v != defaults.get(k)}
    return {"component": step.component, "config": config}
