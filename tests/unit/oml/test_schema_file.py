"""The JSON Schema of OML, which editors read and which the validation itself uses."""

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from osiris.document import read_document

SCHEMA = json.loads(resources.files("osiris.oml").joinpath("oml-0.3.0.schema.json").read_text())
TEMPLATES = sorted(resources.files("osiris").joinpath("templates").glob("*/pipelines/*.yaml"))


def properties(schema):
    for name, inner in schema.get("properties", {}).items():
        yield name, inner
        yield from properties(inner)
        yield from properties(inner.get("items", {}))


def test_it_is_a_schema_in_which_everything_is_described():
    Draft202012Validator.check_schema(SCHEMA)
    assert len(list(properties(SCHEMA))) >= 15
    assert [name for name, inner in properties(SCHEMA) if not inner.get("description")] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_our_own_pipelines_fit(path):
    data = read_document(path.read_text(), path.name).data
    assert list(Draft202012Validator(SCHEMA).iter_errors(data)) == []
