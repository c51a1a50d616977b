"""The allowed values of a config property, in a few words."""

import json

import pytest

from osiris.cli.components import kind
from osiris.cli.main import main
from osiris.registry import RESERVED, load_registry


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"enum": ["a", "b", 1]}, "string or integer"),
        ({"const": True}, "boolean"),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, "number or string"),
        ({"oneOf": [{"enum": ["all", None]}, {"type": "integer"}]}, "all or null or integer"),
        ({"anyOf": [{"type": "string"}, {"type": "string", "pattern": "x"}]}, "string"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"const": "x"}]}}, "list of integer or x"),
        ({"type": "array"}, "array"),
        ({"items": {"type": "string"}}, "list of string"),
        ({"properties": {}}, "object"),
        ({"pattern": "^x"}, "string"),
        ({"minimum": 1}, "number"),
        ({"description": "Anything."}, "any"),
    ],
)
def test_kind(schema, expected):
    assert kind(schema) == expected


def test_every_property_of_ours_says_its_kind():
    schemas = [s for spec in load_registry().all() for s in spec.config["properties"].values()]
    assert all(kind(schema) != "any" for schema in [*schemas, *RESERVED.values()])


def test_choices_are_shown(capsys):
    assert main(["components", "show", "filesystem.parquet_writer"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("compression"))
    assert line.endswith('"snappy"  How the columns are packed. One of: snappy, zstd, none.')


def test_the_keys_of_every_step_are_shown(capsys):
    assert main(["components", "show", "duckdb.writer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = [number for number, line in enumerate(lines) if line.startswith("config of every step")]
    shown = [line.split()[0] for line in lines[head:] if line[:1].isalpha()]
    assert set(RESERVED) - {"on_reject", "cursor", "max_cell_bytes", "deterministic"} <= set(shown)
    assert not {"on_reject", "cursor"}.intersection(shown)
    assert main(["components", "show", "postgres.writer", "--json"]) == 0
    shared = json.loads(capsys.readouterr().out)["data"]["shared"]
    assert set(shared) == {"cast", "timeout", "retry", "on_reject", "checks", "deletes"}
    assert {key: RESERVED[key] for key in shared} == shared
