"""The components of database servers behave as all of their kind must, against real servers."""

from functools import cache

import pytest

from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing import Case, behaviours, check_behaviour, filled_by, seen_by
from osiris.testing.behaviours import untried

REGISTRY = load_registry()
SERVERS = {"mysql": "mariadb", "postgres": "postgres"}
"""The fixture of the server by family."""


def server_cases(family, connection):
    extractor, writer = f"{family}.extractor", f"{family}.writer"
    config, replacing = {"table": 'it\'s a "t"'}, {"table": 'it\'s a "t"', "write_mode": "replace"}
    yield extractor, Case(config, connection, fill=filled_by(writer, replacing, connection))
    yield writer, Case(replacing, connection, look=seen_by(extractor, config, connection))


UNREACHED = {name: case for family in SERVERS for name, case in server_cases(family, {})}
"""The cases without a server: what can be tried is known before there is one."""


@pytest.fixture(scope="module")
def connections(request):
    """By family, what gives each folder an empty database of its own."""

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


@pytest.mark.parametrize("name", UNREACHED)
def test_nothing_is_left_untried(name):
    assert untried(name, UNREACHED[name], REGISTRY) == {}
