"""Columns that a source has got since a table was pinned; with the installed command and real databases."""

import json

import pytest
import yaml
from tests.e2e.databases import Side

PIPELINE = """
oml_version: "0.3.0"
name: night
replicate:
  - id: night
    from: {{connection: "@duckdb.shop", tables: [orders]}}
    to: {{connection: "@{target}.copy", table: "{{table}}"}}
    defaults: {{cursor: {{column: id, late: none}}, write_mode: upsert, deletes: {{compare: keys, as: hard}}}}
"""
TYPES = {
    "amount": ("DECIMAL(9, 2)", "1.50"),
    "at": ("TIMESTAMPTZ", "'2026-01-01 00:00:00+00'"),
    "day": ("DATE", "'2026-01-01'"),
    "price in €": ("VARCHAR", "'x'"),
    "who": ("UUID", "'00000000-0000-0000-0000-0000000000aa'"),
    "yes": ("BOOLEAN", "true"),
}


class Night:
    """A project that copies a table of DuckDB to a database of a family."""

    def __init__(self, root, osiris, target):
        self.root, self.osiris, self.target = root, osiris, target
        self.shop = Side("duckdb", "shop", root)
        declared = {"duckdb": {"shop": self.shop.fields}}
        declared.setdefault(target.family, {})["copy"] = target.fields
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))
        self.file = root / "pipelines" / "night.yaml"
        self.file.parent.mkdir()
        self.file.write_text(PIPELINE.format(target=target.family))
        self.shop.sql(
            "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, num INT)", "INSERT INTO orders VALUES (1, 1)"
        )

    def call(self, command, *arguments, code=0):
        """Return the errors of a command about the file."""
        done = self.osiris(command, self.file, "--json", *arguments, cwd=self.root, env=self.target.env)
        assert done.returncode == code, done.stdout + done.stderr
        return [each for each in json.loads(done.stdout)["diagnostics"] if each["severity"] == "error"]

    def refresh(self):
        """Return why new columns do not fit: compile asks database files, and a run servers."""
        if self.target.server is None:
            return self.call("compile", "--refresh", code=6)
        self.call("compile", "--refresh")
        return self.call("run", "--new-run", code=1)


@pytest.fixture
def night_of(request, tmp_path, osiris):
    def make(family):
        names = {"postgres": "postgres", "mysql": "mariadb"}
        server = request.getfixturevalue(names[family]) if family in names else None
        return Night(tmp_path, osiris, Side(family, "copy", tmp_path, server))

    return make


@pytest.mark.parametrize("family", ["postgres", "mysql", "sqlite", "duckdb"])
def test_new_columns_are_named_and_added_as_the_hints_say(night_of, family):
    night = night_of(family)
    night.call("run")
    night.shop.sql(
        *(f'ALTER TABLE orders ADD COLUMN "{name}" {kind}' for name, (kind, _) in TYPES.items()),
        f"INSERT INTO orders VALUES (2, 2, {', '.join(value for _, value in TYPES.values())})",
    )
    (problem,) = night.call("run", code=1)
    assert problem["code"] == "DAT011"
    assert all(f"'{name}'" in problem["message"] for name in TYPES)
    assert "--refresh" in problem["hint"]
    problems = night.refresh()
    assert [each["code"] for each in problems] == ["DAT029"] * len(TYPES)
    night.target.sql(*(each["hint"][each["hint"].index("ALTER TABLE") :] for each in problems))
    night.call("compile", "--refresh")
    night.call("run", "--new-run")
    assert night.target.sql("SELECT id, num, day FROM orders ORDER BY id")[0] == (1, 1, None)
    ((key, day),) = night.target.sql("SELECT id, day FROM orders WHERE day IS NOT NULL")
    assert (key, str(day)) == (2, "2026-01-01")


def test_a_name_that_is_like_another_may_be_that(night_of):
    night = night_of("sqlite")
    night.target.sql("CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, nums BIGINT)")
    (problem,) = night.call("run", code=1)
    assert problem["hint"] == (
        "did you mean 'nums'? (if a source has changed: osiris compile FILE --refresh); if the column is new, "
        'run ALTER TABLE "orders" ADD COLUMN "num" INTEGER NULL'
    )


def test_a_column_that_is_not_null_now_is_shown_so(night_of):
    night = night_of("sqlite")
    night.call("run")
    night.shop.sql("ALTER TABLE orders ALTER COLUMN num SET NOT NULL")
    (problem,) = night.call("run", code=1)
    assert problem["code"] == "DAT011"
    assert problem["message"].endswith("the plan has 'num' int32 where the source has 'num' int32 not null")
