"""The file components pass the shipped suite with files in an object store."""

from functools import cache

import pytest
from tests.components.test_stores import KINDS, hidden

from osiris.registry import load_registry
from osiris.testing import Case, behaviours, check_behaviour
from osiris.testing.trial import Trial, rows_of, table_of

REGISTRY = load_registry()


def store_cases(kind, path, connection, family):
    extractor, writer = f"filesystem.{kind}_extractor", f"filesystem.{kind}_writer"
    config = {"path": path}

    def at(name, root):
        return Trial(REGISTRY, name, root, config, connection, changes={"family": family})

    def fill(root, rows):
        at(writer, root).write(rows_of(rows))

    def look(root):
        return table_of(at(extractor, root).read())

    yield extractor, Case(config, connection, fill=fill, family=family)
    yield writer, Case(config, connection, look=look, family=family)


def cases(connection, family):
    return {name: case for file in KINDS.items() for name, case in store_cases(*file, connection, family)}


@pytest.fixture(scope="module")
def connections(s3, azurite, gcs):
    """By family, a function that gives each folder its own empty bucket."""

    def of(server):
        @cache
        def connection(root):
            return hidden(server.fields(server.new_bucket()))

        return connection

    return {server.family: of(server) for server in (s3, azurite, gcs)}


def tried():
    for name, case in cases({}, "s3").items():
        for behaviour in behaviours(name, case, REGISTRY):
            yield name, behaviour


@pytest.mark.parametrize("family", ["s3", "azure", "gcs"])
@pytest.mark.parametrize(("name", "behaviour"), [*tried()])
def test_it(name, behaviour, family, connections):
    assert check_behaviour(name, behaviour, cases(connections[family], family)[name], REGISTRY) == []
