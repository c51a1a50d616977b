"""Validates events against OpenLineage, by the classes that the project generates from its JSON Schema."""

import importlib
import pkgutil
import types
import typing
from enum import Enum

import attr
import openlineage.client.generated as generated
from openlineage.client.generated.base import BaseFacet, RunEvent, RunFacet


@attr.define
class HistoryFacet(RunFacet):
    """Our own facet, which the specification allows beside its own."""

    failed: list[str]
    blocked: list[str]
    changes: list[str]
    code: str | None = None
    lastSuccess: str | None = None  # noqa: N815 - as the specification spells names


MODULES = [importlib.import_module(f"{generated.__name__}.{m.name}") for m in pkgutil.iter_modules(generated.__path__)]
FACETS = {
    found._get_schema(): found
    for module in MODULES
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, BaseFacet)
}
FACETS["urn:osiris:openlineage:history:1"] = HistoryFacet
NAMES = {
    "osiris_history": "HistoryFacet",
    "processing_engine": "ProcessingEngineRunFacet",
    "errorMessage": "ErrorMessageRunFacet",
    "parent": "ParentRunFacet",
    "jobType": "JobTypeJobFacet",
    "sql": "SQLJobFacet",
    "schema": "SchemaDatasetFacet",
    "columnLineage": "ColumnLineageDatasetFacet",
    "inputStatistics": "InputStatisticsInputDatasetFacet",
    "outputStatistics": "OutputStatisticsOutputDatasetFacet",
}
"""Under which key the specification has each facet."""


def check_event(event):
    """Fail at the first part of an event that the standard does not have, or has in another form."""
    assert event["schemaURL"] == RunEvent._get_schema()
    built(RunEvent, event, "event")


def built(kind, value, path):
    """Return a value as an instance of the class, whose validators check times, ids and addresses."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = [each for each in typing.get_args(kind) if each is not type(None)]
        return built(inner, value, path)
    if origin is list:
        assert isinstance(value, list), path
        return [built(typing.get_args(kind)[0], item, f"{path}/{n}") for n, item in enumerate(value)]
    if origin is dict:
        assert isinstance(value, dict), path
        return {key: built(typing.get_args(kind)[1], item, f"{path}/{key}") for key, item in value.items()}
    if attr.has(kind):
        return built_object(kind, value, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    assert type(value) is kind, (path, value)
    return value


def built_object(kind, value, path):
    assert isinstance(value, dict), path
    if issubclass(kind, BaseFacet):
        kind = FACETS[value["_schemaURL"]]
        assert kind.__name__ == NAMES[path.rpartition("/")[2]], path
    fields = {field.name: field for field in attr.fields(kind)}
    hints = typing.get_type_hints(kind)
    assert not value.keys() - fields.keys(), (path, value.keys() - fields.keys())
    missing = {name for name, field in fields.items() if field.default is attr.NOTHING} - value.keys()
    assert not missing, (path, missing)
    given = {name: built(hints[name], item, f"{path}/{name}") for name, item in value.items() if fields[name].init}
    return kind(**{name.lstrip("_"): item for name, item in given.items()})
