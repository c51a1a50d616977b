"""Describes a plan in plain language: for each output its grain, and how its rows are computed. Runs nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from osiris.compare.lineage import labels_of, read_lineage
from osiris.sql.explanation.probes import probes_of
from osiris.sql.explanation.read_back import best_key, in_order, read_query
from osiris.sql.explanation.sources import Rows
from osiris.sql.safety.names import relation_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.model import JsonValue, Manifest
    from osiris.sql.explanation.probes import Probe

    Step = Mapping[str, JsonValue]
    Keys = Mapping[str, Sequence[Sequence[str]]]

_NO_SQL = "its effect on rows is unknown: it is not SQL"


@dataclass(frozen=True, slots=True)
class GrainColumn:
    """A column of the key of an output, and the source column (`orders.id`) it is a copy of; None if it is not one."""

    name: str
    of: str | None


@dataclass(frozen=True, slots=True)
class StepText:
    """What one step does with rows, in plain language. `columns` are the output columns described in the text.

    `groups` are the expressions it has one row per value of.
    """

    step: str
    filters: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    columns: Mapping[str, str] | None = None
    sort: tuple[str, ...] = ()
    limit: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputText:
    """One output. `grain` are the columns that identify a row, empty for at most one row; None if unknown.

    `mode` is the write mode (`append`, `replace`, `upsert`), `key` the key of an upsert. `sources` and `steps` are all
    upstream ones, in plan order.
    """

    step: str
    target: str
    mode: str
    key: tuple[str, ...]
    partition_by: tuple[str, ...]
    grain: tuple[GrainColumn, ...] | None
    sources: Mapping[str, str]
    steps: tuple[StepText, ...]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as JSON, with `grain_text` and `lines`."""
        return {**asdict(self), "grain_text": grain_text(self.grain), "lines": lines_of(self)}


def read_back(manifest: Manifest, keys: Keys) -> tuple[OutputText, ...]:
    """Describe each output of a plan; without a writer, each step whose output nothing reads.

    `keys` are the primary keys of sources, by read step.
    """
    rows, texts = _read_steps(manifest, keys)
    lineage = read_lineage(manifest)
    labels = labels_of(manifest)
    order = [step["id"] for step in manifest.steps]
    outputs = []
    for end in ends_of(manifest):
        above = sorted(lineage.above(end["id"]), key=order.index)
        sources = {name: labels[name] for name in above if not lineage.inputs[name]}
        steps = tuple(texts[name] for name in above if texts[name] != StepText(name))
        outputs.append(_output(end, labels[end["id"]], rows[end["id"]], sources, steps))
    return tuple(outputs)


def ends_of(manifest: Manifest) -> Sequence[Step]:
    """Return the writers of a plan; without one, the steps whose output nothing reads."""
    read = {source for step in manifest.steps for source in step["inputs"].values()}
    writers = [step for step in manifest.steps if step["mode"] == "write"]
    return writers or [step for step in manifest.steps if step["id"] not in read]


def probes(manifest: Manifest, keys: Keys) -> dict[str, list[Probe]]:
    """Return, by step, queries over its inputs that measure its effect on rows."""
    rows, _ = _read_steps(manifest, keys)
    by_step: dict[str, list[Probe]] = {}
    for step in manifest.steps:
        for key, dialect in step["sql"].items() if step["mode"] == "transform" else ():
            if dialect == "duckdb" and key in step["config"]:
                relations = _relations(step["inputs"], rows)
                by_step.setdefault(step["id"], []).extend(probes_of(str(step["config"][key]), relations))
    return by_step


def _read_steps(manifest: Manifest, keys: Keys) -> tuple[dict[str, Rows], dict[str, StepText]]:
    rows: dict[str, Rows] = {}
    texts: dict[str, StepText] = {}
    for step in manifest.steps:
        rows[step["id"]], texts[step["id"]] = _read_step(step, rows, keys.get(step["id"], ()))
    return rows, texts


def _relations(inputs: Mapping[str, str], rows: Mapping[str, Rows]) -> dict[str, Rows]:
    return {name: rows[inputs[own[0]]] for name, own in relation_names(inputs).items()}


def _output(step: Step, label: str, rows: Rows, sources: Mapping[str, str], steps: tuple[StepText, ...]) -> OutputText:
    config, is_writer = step["config"], step["mode"] == "write"
    origins = {name: ".".join(origin) for name, origin in rows.origins.items()}
    names = in_order(best_key(rows.keys), rows) if rows.keys else []
    grain = tuple(GrainColumn(name, origins.get(name.lower())) for name in names)
    return OutputText(
        step=step["id"],
        target=label if is_writer else step["id"],
        mode=str(config.get("write_mode", "replace")) if is_writer else "none",
        key=tuple(config.get("primary_key") or ()),
        partition_by=tuple(config.get("partition_by") or ()),
        grain=grain if rows.keys else None,
        sources=sources,
        steps=steps,
    )


def _read_step(step: Step, rows: Mapping[str, Rows], keys: Sequence[Sequence[str]]) -> tuple[Rows, StepText]:
    """Return what is known of a step's output rows, and the description of the step."""
    name, inputs = step["id"], dict(step["inputs"])
    if step["mode"] == "write":
        return rows[next(iter(inputs.values()))] if len(inputs) == 1 else Rows(), StepText(name)
    texts = [(str(step["config"][key]), dialect) for key, dialect in step["sql"].items() if key in step["config"]]
    if len(texts) == 1:
        ((sql, dialect),) = texts
        query = read_query(sql, _relations(inputs, rows), dialect, [column["name"] for column in step["schema"] or ()])
        filters, joins, groups = tuple(query.filters), tuple(query.joins), tuple(query.groups)
        sort, notes = tuple(query.sort), tuple(query.notes)
        text = StepText(name, filters, joins, groups, query.columns, sort, query.limit, notes)
        return _of_schema(step, query.rows.keys, query.rows), text
    if step["mode"] == "transform":
        return _of_schema(step, frozenset(), Rows()), StepText(name, notes=(_NO_SQL,))
    return _of_schema(step, _complete_keys(step, keys), None), _of_reader(step)


def _complete_keys(step: Step, keys: Sequence[Sequence[str]]) -> frozenset[frozenset[str]]:
    """Return the keys whose columns are all in a reader's output and not nullable."""
    certain = {column["name"].lower() for column in step["schema"] or () if not column["nullable"]}
    folded = (frozenset(column.lower() for column in key) for key in keys)
    return frozenset(key for key in folded if key and key <= certain)


def _of_schema(step: Step, keys: frozenset[frozenset[str]], query_rows: Rows | None) -> Rows:
    """Return the rows of a step according to its schema; without a query, it is a source."""
    columns = tuple(column["name"] for column in step["schema"] or ())
    types = {column["name"].lower(): column["type"] for column in step["schema"] or ()}
    own = {name.lower(): (step["id"], name) for name in columns}
    if query_rows is None:
        return Rows(columns, keys, types, own, declared=True)
    return Rows(columns, keys, types, query_rows.origins if step["inputs"] else own, query_rows.constants)


def _of_reader(step: Step) -> StepText:
    """Describe the filters and the limit in a reader's config."""
    config = step["config"]
    tests = config.get("filter") if isinstance(config.get("filter"), dict) else {}
    filters = tuple(f"{column} {test}" for column, test in sorted((tests or {}).items()))
    limit = config.get("limit")
    skipped = f" after the first {config['offset']}" if config.get("offset") else ""
    return StepText(step["id"], filters, limit=None if limit is None else f"{limit}{skipped}")


def grain_text(grain: Sequence[GrainColumn] | None) -> str:
    """Return the grain as text: `one row per customers.name`."""
    if grain is None:
        return "no known key: rows may repeat"
    return f"one row per {' and '.join(map(_grain_column, grain))}" if grain else "at most one row"


def _grain_column(column: GrainColumn) -> str:
    if column.of is None:
        return column.name
    return column.of if column.of.endswith(f".{column.name}") else f"{column.name} ({column.of})"


def lines_of(output: OutputText) -> list[str]:
    """Return the description of an output in lines, the most important first."""
    lines = [_head(output), f"  {grain_text(output.grain)}"]
    sources = [name if label == name else f"{name} ({label})" for name, label in output.sources.items()]
    lines.append(f"  from {', '.join(sources)}")
    several = sum(step.columns is not None for step in output.steps) > 1
    for step in output.steps:
        texts = _step_lines(step, step.groups if step is not output.steps[-1] else ())
        lines += [f"  {f'{step.step}: ' if several else ''}{line}" for line in texts]
    return lines


def _head(output: OutputText) -> str:
    if output.mode == "none":
        return f"{output.target} (not written)"
    key = f" by {', '.join(output.key)}" if output.key and output.mode == "upsert" else ""
    folders = f", in folders by {', '.join(output.partition_by)}" if output.partition_by else ""
    return f"{output.target} (step {output.step}, write mode {output.mode}{key}{folders})"


def _step_lines(step: StepText, groups: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a step; `groups` is empty for the last one, as the grain of the output covers it."""
    yield from (f"join {text}" for text in step.joins)
    yield from (f"keep {text}" for text in step.filters)
    yield from (f"one row per {text}" for text in groups)
    yield from (f"column {name}: {text}" for name, text in (step.columns or {}).items() if name != text)
    if step.sort:
        yield f"sort by {', '.join(step.sort)}"
    if step.limit is not None:
        yield f"at most {step.limit} rows"
    yield from (f"note: {text}" for text in step.notes)
