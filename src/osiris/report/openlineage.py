"""A run as OpenLineage events: one START, one COMPLETE, FAIL or ABORT, and the same for each step as a child run."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from osiris.compare.lineage import Lineage, StepColumn, label_of, read_lineage
from osiris.family_spec import family_of_connection, find_family
from osiris.urls import local_path, stored_as

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from osiris.errors import Diagnostic
    from osiris.family_spec import FamilySpec
    from osiris.history.reading import Reading
    from osiris.history.record import RecordedRun, RecordedStep
    from osiris.model import JsonValue, Manifest


Event = dict[str, "JsonValue"]

_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = {
    "ColumnLineageDatasetFacet": "1-2-0",
    "ErrorMessageRunFacet": "1-0-1",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "JobTypeJobFacet": "2-0-4",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "ParentRunFacet": "1-2-0",
    "ProcessingEngineRunFacet": "1-1-1",
    "SQLJobFacet": "1-1-0",
    "SchemaDatasetFacet": "1-2-0",
}
"""The facets that are used, each in the version of the specification that it follows."""

_HISTORY = "urn:osiris:openlineage:history:1"
_MOST_CHANGES = 20

_ENDS = {"complete": "COMPLETE", "failed": "FAIL", "lost": "FAIL", "cancelled": "ABORT"}
_KINDS = {"copy": "IDENTITY", "value": "TRANSFORMATION", "aggregate": "AGGREGATION"}


@dataclass(frozen=True, slots=True)
class Parent:
    """The parent run, for example of a scheduler, that started this one."""

    namespace: str
    job: str
    run_id: str


@dataclass(frozen=True)
class RunFacts:
    """A run to be reported: the reading of its session, where its project is, and how its jobs are named.

    `connections` has the fields of each if known; only names of datasets are taken from them.
    """

    reading: Reading
    plan: Manifest
    root: Path
    namespace: str
    connections: Mapping[str, Mapping[str, JsonValue]]
    parent: Parent | None = None

    @property
    def run(self) -> RecordedRun:
        """The session's record."""
        return self.reading.run

    @property
    def version(self) -> str:
        """The version of Osiris that ran."""
        return str(self.run.summary.get("environment", {}).get("osiris") or self.plan.data["osiris"])

    @cached_property
    def datasets(self) -> Mapping[str, list[Dataset]]:
        """The dataset of each step that reads or writes."""
        summary = self.run.summary
        key = (summary.get("replays") or {}).get("run_id", summary["run_key"])
        bindings = {"run.id": str(key), "run.started_at": str(summary["run_started_at"])}
        ends = (step for step in self.plan.steps if step["mode"] != "transform")
        return {step["id"]: list(datasets_of(step, self.connections, self.root, bindings)) for step in ends}

    @cached_property
    def lineage(self) -> Lineage:
        """How columns flow in the plan."""
        return read_lineage(self.plan)

    def run_id(self, step: str = "") -> str:
        """Return the id of the run, or of one of its steps."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"osiris/{self.namespace}/{self.run.id}/{step}"))


def start_event(context: RunFacts) -> Event:
    """Return the START of a run, with what its plan reads and writes."""
    selected = set(context.run.summary["selected"] or context.run.summary["steps"])
    steps = [step for step in context.run.steps if step.id in selected]
    return _event(context, "START", context.run.summary["started_at"], steps, {})


def end_event(context: RunFacts) -> Event | None:
    """Return the COMPLETE, FAIL or ABORT of a run, with what it read and wrote; None if it has not ended."""
    run = context.run
    if run.status not in _ENDS:
        return None
    root = context.reading.root
    facets = _error(context, root.item if root else None) if run.status != "complete" else {}
    facets |= {"osiris_history": _history(context)}
    steps = [step for step in run.steps if _counts(step)]
    return _event(context, _ENDS[run.status], run.summary["ended_at"], steps, facets, ended=True)


def step_events(context: RunFacts) -> Iterator[Event]:
    """Yield START and end of each step that began and ended, as child runs."""
    start = datetime.fromisoformat(context.run.summary["started_at"])
    for step in context.run.steps:
        if step.began is None or step.ended is None:
            continue
        kind = _ENDS.get(step.status, "ABORT")
        times = (start + timedelta(seconds=seconds) for seconds in (step.began, step.ended))
        began, ended = (time.isoformat(timespec="microseconds") for time in times)
        yield _event(context, "START", began, [step], {}, child=step)
        facets = _error(context, step.error) if kind == "FAIL" else {}
        yield _event(context, kind, ended, [step] if _counts(step) else [], facets, child=step, ended=True)


def events_of(context: RunFacts) -> list[Event]:
    """Return all events of a run, as far as it has come, in the order of time as far as one waits for another."""
    end = end_event(context)
    return [start_event(context), *step_events(context), *([end] if end else [])]


def _counts(step: RecordedStep) -> bool:
    """Return whether a step read or wrote something, in this run or in one that it resumed."""
    return step.output is not None or (step.mode == "read" and step.status == "complete")


def _event(
    context: RunFacts,
    kind: str,
    time: str,
    steps: list[RecordedStep],
    facets: Mapping[str, JsonValue],
    *,
    child: RecordedStep | None = None,
    ended: bool = False,
) -> Event:
    name = context.run.pipeline + (f".{child.id}" if child else "")
    engine = {"version": context.version, "name": "Osiris", "openlineageAdapterVersion": context.version}
    run_facets = {
        "processing_engine": _facet(context, "ProcessingEngineRunFacet", engine),
        **_parent(context, child),
        **facets,
    }
    return {
        "eventType": kind,
        "eventTime": time,
        "run": {"runId": context.run_id(child.id if child else ""), "facets": run_facets},
        "job": {"namespace": context.namespace, "name": name, "facets": _job_facets(context, child)},
        "inputs": [item for step in steps if step.mode == "read" for item in _inputs(context, step, ended=ended)],
        "outputs": [item for step in steps if step.mode == "write" for item in _outputs(context, step, ended=ended)],
        "producer": _producer(context),
        "schemaURL": _EVENT,
    }


def _parent(context: RunFacts, child: RecordedStep | None) -> dict[str, JsonValue]:
    """Return the facet that names the run above: of a step the pipeline's, of that the one that started it."""
    parent = Parent(context.namespace, context.run.pipeline, context.run_id()) if child else context.parent
    if parent is None:
        return {}
    body = {"run": {"runId": parent.run_id}, "job": {"namespace": parent.namespace, "name": parent.job}}
    return {"parent": _facet(context, "ParentRunFacet", body)}


def _job_facets(context: RunFacts, child: RecordedStep | None) -> dict[str, JsonValue]:
    kind = {"processingType": "BATCH", "integration": "OSIRIS", "jobType": "STEP" if child else "PIPELINE"}
    facets = {"jobType": _facet(context, "JobTypeJobFacet", kind)}
    for key, dialect in (child.plan.get("sql", {}) if child else {}).items():
        query = {"query": child.plan["config"][key], "dialect": dialect} if child else {}
        facets["sql"] = _facet(context, "SQLJobFacet", query)
    return facets


def _inputs(context: RunFacts, step: RecordedStep, *, ended: bool) -> Iterator[Event]:
    datasets = context.datasets.get(step.id, [])
    for dataset in datasets:
        facets = {} if dataset.queried else {"schema": _schema(context, step.plan["schema"])}
        item: Event = {"namespace": dataset.namespace, "name": dataset.name, "facets": facets}
        if ended and len(datasets) == 1 and "rows_in" in step.summary:
            rows = {"rowCount": step.summary["rows_in"]}
            item["inputFacets"] = {"inputStatistics": _facet(context, "InputStatisticsInputDatasetFacet", rows)}
        yield item


def _outputs(context: RunFacts, step: RecordedStep, *, ended: bool) -> Iterator[Event]:
    (source,) = step.inputs
    schema = next(each["schema"] for each in context.plan.steps if each["id"] == source)
    for dataset in context.datasets.get(step.id, []):
        facets = {"schema": _schema(context, schema), **_column_lineage(context, step.id)}
        item: Event = {"namespace": dataset.namespace, "name": dataset.name, "facets": facets}
        if ended and step.output:
            files = step.output["files"]
            figures = {"rowCount": step.output["rows"]}
            figures |= {"size": sum(file["size"] for file in files), "fileCount": len(files)} if files else {}
            item["outputFacets"] = {"outputStatistics": _facet(context, "OutputStatisticsOutputDatasetFacet", figures)}
        yield item


def _schema(context: RunFacts, columns: list[Mapping[str, JsonValue]]) -> JsonValue:
    fields = [
        {"name": column["name"], "type": column["type"], "ordinal_position": number}
        for number, column in enumerate(columns, 1)
    ]
    return _facet(context, "SchemaDatasetFacet", {"fields": fields})


def _column_lineage(context: RunFacts, writer: str) -> dict[str, JsonValue]:
    """Return from which columns of the sources each column of a target is made, and which decide its rows."""
    lineage = context.lineage
    fields = {
        column.name: {
            "inputFields": [field for origin in lineage.origins(column).items() for field in _field(context, *origin)]
        }
        for column in lineage.of(writer)
    }
    rows = [field for origin in lineage.row_origins(writer) for field in _field(context, origin, None)]
    body = {"fields": fields, **({"dataset": rows} if rows else {})}
    return {"columnLineage": _facet(context, "ColumnLineageDatasetFacet", body)}


def _field(context: RunFacts, origin: StepColumn, kind: str | None) -> Iterator[JsonValue]:
    """Yield a column of a source; nothing for a query, whose columns may have other names in the table."""
    how: dict[str, JsonValue] = {"type": "DIRECT" if kind else "INDIRECT"}
    how |= {"subtype": _KINDS[kind]} if kind in _KINDS else {}
    for dataset in context.datasets[origin.step]:
        if not dataset.queried:
            place = {"namespace": dataset.namespace, "name": dataset.name, "field": origin.name}
            yield {**place, "transformations": [how]}


def _error(context: RunFacts, error: Diagnostic | None) -> dict[str, JsonValue]:
    message = f"{error.code} {error.message}" if error else "the run failed"
    return {
        "errorMessage": _facet(context, "ErrorMessageRunFacet", {"message": message, "programmingLanguage": "Python"})
    }


def _history(context: RunFacts) -> JsonValue:
    """Return Osiris's own facet: the first failure, the steps it blocked, and changes since the last success."""
    reading = context.reading
    body: dict[str, JsonValue] = {
        "failed": [step.id for step in reading.broken],
        "blocked": reading.blocked,
        "changes": [change.text for change in reading.changes[:_MOST_CHANGES]],
    }
    body |= {"code": reading.root.item.code} if reading.root else {}
    body |= {"lastSuccess": reading.base_id} if reading.base_id else {}
    return {"_producer": _producer(context), "_schemaURL": _HISTORY, **body}


def _facet(context: RunFacts, name: str, body: Mapping[str, JsonValue]) -> Event:
    url = f"{_SPEC}/facets/{_FACETS[name]}/{name}.json#/$defs/{name}"
    return {"_producer": _producer(context), "_schemaURL": url, **body}


def _producer(context: RunFacts) -> str:
    return f"urn:osiris:{context.version}"


Fields = Mapping[str, "JsonValue"]


class Dataset(NamedTuple):
    """A dataset by namespace and name; `queried` if a query reads it, so that its columns are unknown."""

    namespace: str
    name: str
    queried: bool = False


def datasets_of(
    step: Fields, connections: Mapping[str, Fields], root: Path, bindings: Mapping[str, str]
) -> Iterator[Dataset]:
    """Yield what a step of a plan reads or writes.

    `connections` has the fields of each as far as they are known, `bindings` the values of `${run.…}`.
    """
    config, reference = step["config"], step["connection"]
    family = _family(step)
    fields = connections.get(reference, {})
    if isinstance(config.get("path"), str) and not (family.port or family.file_fields):
        yield _file_dataset(root, _bound(config["path"], bindings), reference, fields)
        return
    tables = [config["table"]] if isinstance(config.get("table"), str) else list(_queried(step))
    place = _place(family, fields, root, config.get("schema")) if tables else None
    namespace, prefix = place or (reference or "osiris", "")
    for table in tables:
        yield Dataset(namespace, _qualified(prefix, _bound(table, bindings)), "table" not in config)
    if not tables:
        yield Dataset(namespace, label_of(step, connections))


def _qualified(prefix: str, table: str) -> str:
    """Add the missing qualifiers to a table's name."""
    missing = prefix.split(".")[: -table.count(".") or None] if prefix else []
    return ".".join([*missing, table])


def _family(step: Fields) -> FamilySpec:
    """Return the family of a step's data, for a database that speaks the protocol of another that one."""
    reference = step["connection"]
    family = family_of_connection(reference) if reference else find_family(step["component"].partition(".")[0])
    return find_family(family.protocol_of) if family.protocol_of else family


def _file_dataset(root: Path, path: str, reference: str | None, fields: Fields) -> Dataset:
    """Return the dataset of a file, or of an object in a store."""
    if url := stored_as(path, reference, fields):
        namespace = find_family(url.family).openlineage.get("namespace", f"{url.scheme}://{url.bucket}")
        return Dataset(namespace.format_map({"account": None, **fields, "bucket": url.bucket}), url.key)
    return Dataset("file", os.path.normpath(root / str(fields.get("base_dir") or "") / local_path(path)))


def _queried(step: Fields) -> Iterator[str]:
    """Yield the tables that the query of a step names."""
    from osiris.sql import check

    for key, dialect in step["sql"].items():
        yield from sorted(check(step["config"][key], dialect, relations=None).relations)


def _place(family: FamilySpec, fields: Fields, root: Path, schema: JsonValue) -> tuple[str, str] | None:
    """Return the namespace of a database and the prefix of its table names; None if unknown."""
    named = family.file_fields or (("host", "database") if family.port else ())
    address = next((fields[key] for key in named if fields.get(key)), None)
    if not address or not family.openlineage:
        return None
    file = os.path.normpath(root / str(address)) if family.file_fields else ""
    defaults = {"host": "localhost", "port": family.port, "database": "", **fields, "file": file}
    inside = {**defaults, "schema": schema or family.schema_of(fields)}
    return family.openlineage["namespace"].format_map(defaults), family.openlineage["name"].format_map(inside)


def _bound(text: str, bindings: Mapping[str, str]) -> str:
    for name, value in bindings.items():
        text = text.replace(f"${{{name}}}", value)
    return text
