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


def test_a_replicated_table_that_becomes_a_target_is_named(project):
    project.shop.sql("CREATE TABLE copy_orders (id INTEGER PRIMARY KEY)")
    everything = project.entry("all", "shop", "other", "{table}")
    project.write(everything)
    assert project.call("run", project.file) == []
    project.write(everything, project.entry("copies", "shop", "shop", "copy_{table}", ("orders",)))
    assert project.call("run", project.file) == ["LCK014"]
    assert project.call("run", project.file) == []


@pytest.mark.parametrize(("target", "new"), [("shop", "report"), ("same", "add")])
def test_targets_in_the_database_of_the_sources_are_no_sources(project, new, target):
    project.write(project.entry("all", "shop", target, "copy_{table}", new_tables=new))
    copied = ["copy_lines", "copy_orders", "lines", "orders"]
    for number in (2, 3):
        assert project.call("run", project.file) == []
        assert project.tables(project.shop) == copied
        project.shop.sql(f"INSERT INTO orders VALUES ({number})")
    assert project.call("run", "--last-compile") == []
    assert project.call("validate", project.file) == []
    assert project.call("compile", project.file) == []
    assert project.call("compile", project.file, "--refresh") == []
    assert project.call("run", project.file) == []
    assert project.tables(project.shop) == copied
    assert project.shop.sql("SELECT id FROM copy_orders ORDER BY id") == [(1,), (2,), (3,)]


def test_the_copy_of_a_table_that_is_gone_is_no_source_of_a_run(project):
    project.write(project.entry("all", "shop", "shop", "copy_{table}", new_tables="add"))
    assert project.call("run", project.file) == []
    project.shop.sql("DROP TABLE lines")
    assert "LCK010" in project.call("run", project.file, code=1)
    assert project.tables(project.shop) == ["copy_lines", "copy_orders", "orders"]


def test_targets_of_another_entry_are_no_sources_either(project):
    project.other.sql("CREATE TABLE rates (id INTEGER PRIMARY KEY)")
    project.write(
        project.entry("all", "shop", "other", "{table}", new_tables="add"),
        project.entry("back", "other", "same", "from_{table}", tables=["r*"]),
    )
    for _ in range(2):
        assert project.call("run", project.file) == []
        assert project.tables(project.shop) == ["from_rates", "lines", "orders"]
        assert project.tables(project.other) == ["lines", "orders", "rates"]


def test_a_target_that_is_named_is_an_error(project):
    project.write(project.entry("all", "shop", "shop", "copy_{table}"))
    assert project.call("run", project.file) == []
    project.write(project.entry("all", "shop", "shop", "copy_{table}", tables=["*", "copy_orders"]))
    assert set(project.call("run", project.file, code=2)) == {"CMP017"}


def test_a_table_with_another_schema_or_database_is_a_source(project):
    project.other.sql(
        "CREATE TABLE copy_orders (id INTEGER PRIMARY KEY)", "CREATE TABLE orders (id INTEGER PRIMARY KEY)"
    )
    project.write(project.entry("all", "other", "shop", "copy_{table}"))
    assert project.call("run", project.file) == []
    assert project.tables(project.shop) == ["copy_copy_orders", "copy_orders", "lines", "orders"]


def test_a_new_table_whose_target_is_a_source_is_left_out(project):
    project.shop.sql("CREATE TABLE copy_rates (id INTEGER PRIMARY KEY)")
    project.write(project.entry("all", "shop", "shop", "copy_{table}", new_tables="add"))
    assert project.call("run", project.file) == []
    project.shop.sql("CREATE TABLE rates (id INTEGER PRIMARY KEY)", "INSERT INTO rates VALUES (7)")
    assert project.call("run", project.file) == ["LCK013"]
    assert project.shop.sql("SELECT id FROM copy_rates") == []
    assert "copy_copy_rates" in project.tables(project.shop)


@pytest.mark.parametrize("project", ["postgres"], indirect=True)
def test_tables_whose_names_differ_only_in_case_are_copied_side_by_side(project):
    project.shop.sql('CREATE TABLE "Orders" (id INTEGER PRIMARY KEY)', 'INSERT INTO "Orders" VALUES (7)')
    project.write(project.entry("all", "shop", "other", "{table}"))
    for _ in range(2):
        assert project.call("run", project.file) == []
        assert project.other.sql('SELECT id FROM "Orders"') == [(7,)]
        assert project.other.sql("SELECT id FROM orders") == [(1,)]
