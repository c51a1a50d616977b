"""The connections in lineage events: hosts and databases, and never a secret."""

from pathlib import Path

import pytest

from osiris.api.opening import open_project
from osiris.api.openlineage import Server, known_fields

PASSWORD = "zQ7canary-9x4-secret"


@pytest.fixture
def known(tmp_path):
    (tmp_path / "osiris.yaml").touch()

    def call(fields, environ):
        workspace = open_project(Path(tmp_path), environ)
        return known_fields(workspace, {"@postgres.main": fields}).get("@postgres.main")

    return call


def test_of_a_connection_string_only_the_place_is_known(known):
    dsn = {"DSN": f"postgresql://ada:{PASSWORD}@db.example:6432/shop?sslmode=require"}
    fields = {"dsn": "${DSN}", "schema": "sales"}
    assert known(fields, dsn) == {"host": "db.example", "port": 6432, "database": "shop", "schema": "sales"}
    assert known({"dsn": "${DSN}"}, {"DSN": f"host=db password={PASSWORD}"}) == {}
    assert known({"dsn": "${DSN}"}, {"DSN": f"postgresql://a:{PASSWORD}@[bad/shop"}) == {}


def test_a_field_that_holds_a_secret_is_masked(known):
    fields = {"host": "${PASSWORD}.example", "database": "shop", "password": "${PASSWORD}"}
    assert known(fields, {"PASSWORD": PASSWORD}) == {"host": "***.example", "database": "shop"}


def test_nothing_is_known_of_a_connection_without_its_variables(known):
    assert known({"host": "${HOST}", "database": "shop"}, {}) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://host:5000", "/api/v1/lineage"),
        ("http://host:5000/", "/api/v1/lineage"),
        ("https://host/proxy", "/proxy/api/v1/lineage"),
        ("https://host/api/v1/lineage", "/api/v1/lineage"),
    ],
)
def test_the_endpoint_of_the_standard_is_added(url, path):
    server = Server(url, PASSWORD, 1.0)
    assert server.path == path
    assert PASSWORD not in repr(server)
    assert Server("http://u:p@host:1", None, 1.0).label == "host:1"
