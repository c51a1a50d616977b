"""Every shipped component passes the suite for its kind."""

import pytest
from tests.components.test_server_suites import UNREACHED

from osiris.registry import load_registry
from osiris.testing import Case, behaviours, check_behaviour, filled_by, seen_by
from osiris.testing.behaviours import untried

REGISTRY = load_registry()
FILES = {"csv": "t.csv", "json": "t.jsonl", "parquet": "t.parquet"}
DATABASES = {"duckdb": {"path": "t.duckdb"}, "sqlite": {"path": "t.sqlite"}}


def file_cases(kind, path):
    extractor, writer, config = f"filesystem.{kind}_extractor", f"filesystem.{kind}_writer", {"path": path}
    yield extractor, Case(config, fill=filled_by(writer, config))
    yield writer, Case(config, look=seen_by(extractor, config))


def database_cases(family, connection):
    extractor, writer = f"{family}.extractor", f"{family}.writer"
    config, replacing = {"table": 'it\'s a "t"'}, {"table": 'it\'s a "t"', "write_mode": "replace"}
    yield extractor, Case(config, connection, fill=filled_by(writer, replacing, connection))
    yield writer, Case(replacing, connection, look=seen_by(extractor, config, connection))


CASES = {
    **{name: case for file in FILES.items() for name, case in file_cases(*file)},
    **{name: case for database in DATABASES.items() for name, case in database_cases(*database)},
    "duckdb.processor": Case({"query": "SELECT *, id % 2 AS half FROM input1 ORDER BY id"}),
}


def test_each_of_ours_has_a_case():
    assert {*CASES, *UNREACHED} == {spec.name for spec in REGISTRY.all() if spec.module.startswith("osiris.")}


def tried():
    for name, case in CASES.items():
        for behaviour in behaviours(name, case, REGISTRY):
            yield name, behaviour


@pytest.mark.parametrize(("name", "behaviour"), [*tried()])
def test_it(name, behaviour):
    assert check_behaviour(name, behaviour, CASES[name], REGISTRY) == []


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_untried(name):
    assert untried(name, CASES[name], REGISTRY) == {}
