"""The error of an impossible cast says what to write, in the words of the file."""

import json

import pytest

from osiris.cli.main import main

FILE = """
oml_version: "0.1.0"
name: p
steps:
  - {{id: rows, component: filesystem.csv_extractor, mode: read, config: {{path: a.csv}}}}
  - {{id: out, component: filesystem.csv_writer, mode: write{step}, config: {{path: b.csv{config}}}}}
"""
TOLD = [
    ({"config": ", cast: {amount: decimal}"}, "DAT012", 'write amount: "decimal(18,2)"; types are bool, int8 to int64'),
    ({"config": ", cast: {amount: INTEGER}"}, "DAT012", 'write amount: "int64"; types are bool'),
    ({"config": ", cast: {amount: money}"}, "DAT012", 'write amount: "utf8", for instance; types are bool'),
    ({"config": ", cast: utf8"}, "OML006", 'for example cast: {"amount": "decimal(18,2)"'),
    ({"config": ", cast: [amount]"}, "OML006", 'for example cast: {"amount": "decimal(18,2)"'),
    ({"config": ", casts: {amount: utf8}"}, "OML002", "did you mean 'cast'?"),
    ({"step": ", cast: {amount: utf8}"}, "OML002", "it belongs into the step's config: config: {cast: …}"),
]


@pytest.fixture
def told(tmp_path, capsys):
    """`told(text)` validates a file; returns its only error."""
    (tmp_path / "osiris.yaml").write_text("")

    def call(text):
        (tmp_path / "p.yaml").write_text(text)
        main(["-C", str(tmp_path), "validate", str(tmp_path / "p.yaml"), "--json"])
        diagnostics = json.loads(capsys.readouterr().out)["diagnostics"]
        (found,) = [item for item in diagnostics if item["severity"] == "error"]
        return found

    return call


@pytest.mark.parametrize(("written", "code", "hint"), TOLD)
def test_a_cast_that_cannot_be_is_told_what_to_write(told, written, code, hint):
    found = told(FILE.format(**{"step": "", "config": "", **written}))
    assert (found["code"], found["hint"].startswith(hint)) == (code, True), found


def test_a_key_beside_the_config_is_moved_into_it(told):
    found = told(FILE.format(step=", cast: {amount: utf8}", config=""))
    assert found["fix"] == [
        {"op": "remove", "path": "/steps/1/cast"},
        {"op": "add", "path": "/steps/1/config/cast", "value": {"amount": "utf8"}},
    ]
