"""PASSES and TYPED_PASSES make a checked pipeline explicit; they cannot fail."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from osiris.compiler.context import required_connection, sql_fields, topological, with_config
from osiris.compiler.statements import canonical_of, transforms
from osiris.connections import resolve_ref
from osiris.registry import filled
from osiris.sql.lineage.lineage import Lineage, trace, used
from osiris.sql.safety.names import relation_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from osiris.compiler.context import Context, Prepared
    from osiris.model import ComponentSpec, Described, JsonValue, Step
    from osiris.sql.check_text import Verdict
    from osiris.sql.lineage.lineage import Lineage


def name_connections(ctx: Context) -> Context:
    """Every connection is named with its alias, including the default one."""
    refs = [(step, required_connection(step, spec)) for step, spec in ctx.with_specs()]
    return ctx.with_steps(
        [replace(step, connection=resolve_ref(ctx.connections, ref)) if ref else step for step, ref in refs]
    )


def canonical_sql(ctx: Context) -> Context:
    """Every statement is its canonical text."""
    steps = {step.id: step for step, _ in ctx.with_specs()}
    for step, spec, name in ctx.statements():
        steps[step.id] = with_config(steps[step.id], {name: canonical_of(ctx, step, spec, name)})
    return ctx.with_steps([*steps.values()])


def carry_text(ctx: Context) -> Context:
    """A text source that is read only by text sinks passes its text on, so that its characters stay unchanged."""
    specs = {step.id: spec for step, spec in ctx.with_specs()}
    readers: dict[str, list[str]] = defaultdict(list)
    for step in ctx.pipeline.steps:
        for source in step.inputs.values():
            readers[source].append(step.id)

    def textual(step: Step) -> bool:
        chain = [(step.id, "text_source"), *((reader, "text_sink") for reader in readers[step.id])]
        able = all(capability in specs[name].capabilities for name, capability in chain)
        typed = any(_uses_types(steps[name], specs[name]) for name, _ in chain) or "as_text" in step.config
        return len(chain) > 1 and able and not typed

    steps = {step.id: step for step in ctx.pipeline.steps}
    return ctx.with_steps([with_config(s, {"as_text": True}) if textual(s) else s for s in steps.values()])


def _uses_types(step: Step, spec: ComponentSpec) -> bool:
    """Tell whether a step's config has a key whose meaning depends on column types."""
    properties = spec.config.get("properties", {})
    typed = [key for key, schema in properties.items() if "x-typed" in schema]
    return bool({"cast", "checks"}.intersection(step.config)) or any(
        step.config.get(key) in properties[key]["x-typed"] for key in typed
    )


def fill_defaults(ctx: Context) -> Context:
    """Every default of a component is written out, at any depth."""
    return ctx.with_steps([replace(step, config=filled(step.config, spec.config)) for step, spec in ctx.with_specs()])


def sort_steps(ctx: Context) -> Context:
    """Steps are in topological order, ties by id; needs are a sorted set."""
    steps = {step.id: step for step in ctx.pipeline.steps}
    explicit = {
        name: replace(step, needs=tuple(sorted({*step.needs, *step.inputs.values()}))) for name, step in steps.items()
    }
    return ctx.with_steps([explicit[name] for name in topological({n: s.needs for n, s in explicit.items()})])


PASSES: tuple[Callable[[Context], Context], ...] = (
    name_connections,
    canonical_sql,
    carry_text,
    fill_defaults,
    sort_steps,
)


UNFUSED_KEYS = ("cast", "cursor", "timeout", "retry", "checks", "on_reject")
"""Shared keys of a read step that need its rows separately, or its own start and end."""


@dataclass(frozen=True, slots=True)
class TypedPipeline:
    """A prepared pipeline with the outputs of its steps by id, and what follows from them.

    `lineage` has each SQL transform's, `fused` the read steps that are computed inside the statement of a transform.
    """

    prepared: Prepared
    described: Mapping[str, Described]
    lineage: Mapping[str, Lineage] = field(default_factory=dict)
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps in the order of the manifest."""
        return self.prepared.pipeline.steps

    def with_steps(self, steps: Iterable[Step]) -> TypedPipeline:
        """Return the same with other steps."""
        pipeline = replace(self.prepared.pipeline, steps=tuple(steps))
        return replace(self, prepared=replace(self.prepared, pipeline=pipeline))


def order_totally(typed: TypedPipeline) -> TypedPipeline:
    """Every ordered result is ordered by all of its columns, so that ties cannot change places between runs."""
    texts: dict[str, dict[str, JsonValue]] = defaultdict(dict)
    for step, name, verdict in transforms(typed.prepared):
        if verdict.ordered:
            from osiris.sql.nondeterminism.row_order import with_total_order

            columns = [column.name for column in typed.described[step.id].schema or ()]
            texts[step.id][name] = with_total_order(step.config[name], columns)
    return typed.with_steps(with_config(step, texts[step.id]) if step.id in texts else step for step in typed.steps)


def trace_columns(typed: TypedPipeline) -> TypedPipeline:
    """Every SQL transform has the lineage of each of its columns."""
    columns = {name: [column.name for column in each.schema or ()] for name, each in typed.described.items()}
    lineages = {
        step.id: lineage_of(verdict, step.inputs, columns, columns[step.id])
        for step, _name, verdict in transforms(typed.prepared)
    }
    return replace(typed, lineage=lineages)


def prune_columns(typed: TypedPipeline) -> TypedPipeline:
    """A source returns no unused column, where its component can prune."""
    needed = _needed(typed)
    described, steps = dict(typed.described), []
    for step in typed.steps:
        schema, used = typed.described[step.id].schema, needed[step.id]
        if schema is None or None in used or not _can_prune(typed, step):
            steps.append(step)
            continue
        used |= step.config.get("cast", {}).keys()
        columns = tuple(column for column in schema if column.name in used) or schema[:1]
        described[step.id] = replace(typed.described[step.id], schema=columns)
        names = [column.name for column in columns]
        steps.append(step if columns == schema else with_config(step, {"columns": names}))
    return replace(typed.with_steps(steps), described=described)


def _needed(typed: TypedPipeline) -> dict[str, set[str | None]]:
    """Return the columns of each step that are read; None among them means all."""
    needed: dict[str, set[str | None]] = defaultdict(set)
    for step in typed.steps:
        lineage = typed.lineage.get(step.id)
        names = relation_names(step.inputs)
        if lineage is None:
            for source in step.inputs.values():
                needed[source].add(None)
        for relation, columns in used(lineage).items() if lineage else ():
            needed[step.inputs[names[relation][0]]].update(columns)
        if isinstance(step.config.get("cursor"), Mapping):
            needed[step.id].add(step.config["cursor"]["column"])
    return needed


def _can_prune(typed: TypedPipeline, step: Step) -> bool:
    spec = typed.prepared.specs[step.component]
    columns = spec.config["properties"].get("columns", {})
    return (
        step.mode == "read"
        and "x-prunes" in columns
        and not {"columns", "checks", *sql_fields(spec)}.intersection(step.config)
    )


def fuse(typed: TypedPipeline) -> TypedPipeline:
    """Let a statement read its source files directly, if the engine can and no other step reads them."""
    readers = Counter(source for step in typed.steps for source in step.needs)
    sources = {step.id: step for step in typed.steps if step.mode == "read"}
    alone = {name for name, step in sources.items() if readers[name] == 1 and _is_native(typed, step)}
    read_once = {step.id: _read_once(step, verdict) for step, _, verdict in transforms(typed.prepared)}
    return replace(typed, fused={name: tuple(sorted(alone.intersection(once))) for name, once in read_once.items()})


def _read_once(step: Step, verdict: Verdict) -> list[str]:
    """Return the steps that a statement reads exactly once."""
    times: Counter[str] = Counter()
    for name, keys in relation_names(step.inputs).items():
        times[keys[0]] += verdict.relations.get(name, 0)
    return [source for key, source in step.inputs.items() if times[key] == 1]


def _is_native(typed: TypedPipeline, step: Step) -> bool:
    described = typed.described[step.id]
    if "relation" not in typed.prepared.specs[step.component].capabilities:
        return False
    columns = {column.name for column in described.schema or ()}
    return columns.issubset(described.native or ()) and not any(key in step.config for key in UNFUSED_KEYS)


PLAIN_PASSES: tuple[Callable[[TypedPipeline], TypedPipeline], ...] = (order_totally, trace_columns)
"""Passes that keep all columns and every step separate."""

TYPED_PASSES = (*PLAIN_PASSES, prune_columns, fuse)


def lineage_of(
    verdict: Verdict, inputs: Mapping[str, str], columns: Mapping[str, Sequence[str]], outputs: Sequence[str]
) -> Lineage:
    """Return the lineage of an accepted statement; `columns` has those of each step, `outputs` are its own."""
    schemas = {name: columns[inputs[keys[0]]] for name, keys in relation_names(inputs).items()}
    if verdict.flow is None:
        raise ValueError("a statement that may not run has no lineage")
    return trace(verdict.flow, schemas, outputs)
