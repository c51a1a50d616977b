"""The components of database servers pass the shipped suite, against real servers."""

from contextlib import ExitStack
from functools import cache

import pytest
from tests.servers import start_postgrest

from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing import Case, behaviours, check_behaviour, filled_by, seen_by
from osiris.testing.behaviours import untried

REGISTRY = load_registry()
SERVERS = {"mysql": "mariadb", "postgres": "postgres", "supabase": "postgres"}
"""The fixture of the server by family."""

TABLE, KEY = 'it\'s a "t"', ["id"]
COLUMNS = '(id bigint PRIMARY KEY, "it\'s a ""name""" text, "ž. select" text)'


def server_cases(family, connection):
    extractor, writer = f"{family}.extractor", f"{family}.writer"
    config, replacing = {"table": 'it\'s a "t"'}, {"table": 'it\'s a "t"', "write_mode": "replace"}
    yield extractor, Case(config, connection, fill=filled_by(writer, replacing, connection))
    yield writer, Case(replacing, connection, look=seen_by(extractor, config, connection))


UNREACHED = {name: case for family in SERVERS for name, case in server_cases(family, {})}
"""The cases without a server: what can be tried is known before there is one."""


def rest_cases(rest, database):
    """Supabase over REST, where no tables can be created; `rest` and `database` are two ways to one place."""
    made = {"table": TABLE, "write_mode": "replace", "primary_key": KEY}
    fill, look = filled_by("postgres.writer", made, database), seen_by("postgres.extractor", {"table": TABLE}, database)
    yield "supabase.extractor", Case({"table": TABLE}, rest(made=False), fill=fill)
    yield (
        "supabase.writer",
        Case({"table": TABLE, "write_mode": "upsert", "primary_key": KEY}, rest(made=True), look=look),
    )


REST = dict(rest_cases(lambda made: {}, {}))


@pytest.fixture(scope="module")
def connections(request):
    """By family, a function that gives each folder its own empty database."""

    def of(server):
        @cache
        def connection(root):
            fields = server.fields(server.new_database())
            return {**fields, "password": Secret(fields["password"])}

        return connection

    return {family: of(request.getfixturevalue(server)) for family, server in SERVERS.items()}


def tried():
    for name, case in UNREACHED.items():
        for behaviour in behaviours(name, case, REGISTRY):
            yield name, behaviour


@pytest.mark.parametrize(("name", "behaviour"), [*tried()])
def test_it(name, behaviour, connections):
    family = name.partition(".")[0]
    case = dict(server_cases(family, connections[family]))[name]
    assert check_behaviour(name, behaviour, case, REGISTRY) == []


@pytest.fixture(scope="module")
def rest(postgres):
    """A function that gives each folder its own empty database, with its own PostgREST, as both kinds of connection."""
    with ExitStack() as servers:

        @cache
        def database(root):
            fields = postgres.fields(postgres.new_database())
            return {**fields, "password": Secret(fields["password"])}

        @cache
        def server(root):
            fields = database(root)
            return servers.enter_context(start_postgrest({**fields, "password": fields["password"].reveal()}))

        def connection(made):
            @cache
            def fields(root):
                found = server(root)
                if made:
                    quoted = TABLE.replace('"', '""')
                    found.run(f'CREATE TABLE "{quoted}" {COLUMNS}')
                return {"url": found.url, "key": Secret(found.service_key)}

            return fields

        yield connection, database


@pytest.mark.parametrize(
    ("name", "behaviour"), [(name, each) for name, case in REST.items() for each in behaviours(name, case, REGISTRY)]
)
def test_it_over_rest(name, behaviour, rest):
    assert check_behaviour(name, behaviour, dict(rest_cases(*rest))[name], REGISTRY) == []


@pytest.mark.parametrize("name", UNREACHED)
def test_nothing_is_left_untried(name):
    assert untried(name, UNREACHED[name], REGISTRY) == {}
