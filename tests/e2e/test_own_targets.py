"""Entries whose targets are in the database of their sources, and targets whose names differ only in case."""

import json

import pytest
import yaml
from tests.e2e.databases import Side


class Project:
    """A project with a database of a family, under two names, and one more database."""

    def __init__(self, root, osiris, family, server):
        self.root, self.osiris, self.family = root, osiris, family
        self.shop, self.other = (Side(family, alias, root, server) for alias in ("shop", "other"))
        connections = {"shop": self.shop.fields, "same": {**self.shop.fields}, "other": self.other.fields}
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": {family: connections}}))
        (root / "pipelines").mkdir()
        self.file = root / "pipelines" / "shop.yaml"

    def entry(self, name, source, target, table, tables=("*",), **more):
        return {
            "id": name,
            "from": {"connection": f"@{self.family}.{source}", "tables": [*tables], **more},
            "to": {"connection": f"@{self.family}.{target}", "table": table},
            "defaults": {"write_mode": "upsert"},
        }

    def write(self, *entries):
        self.file.write_text(json.dumps({"oml_version": "0.3.0", "name": "shop", "replicate": entries}))

    def call(self, *command, code=0):
        """Return the codes of warnings and errors of a command about the file."""
        done = self.osiris(*command, "--json", cwd=self.root, env=self.shop.env | self.other.env)
        assert done.returncode == code, done.stdout + done.stderr
        return [item["code"] for item in json.loads(done.stdout)["diagnostics"] if item["severity"] != "note"]

    def tables(self, side):
        if self.family == "sqlite":
            found = side.sql("SELECT name FROM sqlite_master WHERE type = 'table'")
        else:
            found = side.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return sorted(name for (name,) in found if not name.startswith("_osiris"))


@pytest.fixture(params=["postgres", "sqlite"])
def project(request, tmp_path, osiris):
    """A project with two tables."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    project = Project(tmp_path, osiris, request.param, server)
    for table in ("lines", "orders"):
        project.shop.sql(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)", f"INSERT INTO {table} VALUES (1)")
    return project


@pytest.mark.parametrize("project", ["postgres"], indirect=True)
def test_tables_whose_names_differ_only_in_case_are_copied_side_by_side(project):
    project.shop.sql('CREATE TABLE "Orders" (id INTEGER PRIMARY KEY)', 'INSERT INTO "Orders" VALUES (7)')
    project.write(project.entry("all", "shop", "other", "{table}"))
    for _ in range(2):
        assert project.call("run", project.file) == []
        assert project.other.sql('SELECT id FROM "Orders"') == [(7,)]
        assert project.other.sql("SELECT id FROM orders") == [(1,)]
