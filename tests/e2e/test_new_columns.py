"""Columns that a source has got since a table was pinned; with the installed command and real databases."""

import html
import json

import pytest
import yaml
from tests.e2e.databases import Side

PIPELINE = """
oml_version: "0.3.0"
name: night
replicate:
  - id: night
    from: {{connection: "@{source}.shop", tables: [orders]}}
    to: {{connection: "@{target}.copy", table: "{{table}}"}}
    defaults: {{cursor: {{column: id, late: none}}, {defaults}}}
"""
UPSERT = "write_mode: upsert, deletes: {compare: keys, as: hard}"
FAMILIES = ("postgres", "mysql", "sqlite", "duckdb")
TYPES = {
    "amount": ("DECIMAL(9, 2)", "1.50"),
    "at": ("TIMESTAMPTZ", "'2026-01-01 00:00:00+00'"),
    "day": ("DATE", "'2026-01-01'"),
    "price in €": ("VARCHAR", "'x'"),
    "who": ("UUID", "'00000000-0000-0000-0000-0000000000aa'"),
    "yes": ("BOOLEAN", "true"),
}


class Night:
    """A project that copies a table from a database of one family to one of another."""

    def __init__(self, root, osiris, source, target, defaults):
        self.root, self.osiris, self.shop, self.target = root, osiris, source, target
        declared = {source.family: {"shop": source.fields}}
        declared.setdefault(target.family, {})["copy"] = target.fields
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump({"connections": declared}))
        self.file = root / "pipelines" / "night.yaml"
        self.file.parent.mkdir()
        names = {"source": source.family, "target": target.family}
        self.file.write_text(PIPELINE.format(**names, defaults=defaults))
        self.shop.sql(
            "CREATE TABLE orders (id BIGINT NOT NULL PRIMARY KEY, num INT)", "INSERT INTO orders VALUES (1, 1)"
        )

    def call(self, command, *arguments, code=0):
        """Return the errors of a command about the file."""
        return self.diagnostics("error", command, self.file, "--json", *arguments, code=code)

    def diagnostics(self, severity, *words, code=0):
        """Return the diagnostics of that severity of a command."""
        done = self.osiris(*words, cwd=self.root, env={**self.shop.env, **self.target.env})
        assert done.returncode == code, done.stdout + done.stderr
        return [each for each in json.loads(done.stdout)["diagnostics"] if each["severity"] == severity]

    def run(self):
        """Run it, and return the warnings."""
        return self.diagnostics("warning", "run", self.file, "--new-run", "--json")

    def follow(self, hint):
        """Run the command of a hint."""
        words = hint[hint.index("osiris state") :].partition("'")[0].split()[1:]
        self.diagnostics("error", *(self.file if word == "FILE" else word for word in words), "--json")

    def add_column(self, column):
        """Add a column to the source and the target, and to the plan."""
        for side in (self.shop, self.target):
            side.sql(f"ALTER TABLE orders ADD COLUMN {column}")
        self.call("compile", "--refresh")

    def refresh(self):
        """Return why new columns do not fit: compile asks database files, and a run servers."""
        if self.target.server is None:
            return self.call("compile", "--refresh", code=6)
        self.call("compile", "--refresh")
        return self.call("run", "--new-run", code=1)


@pytest.fixture
def night_of(request, tmp_path, osiris):
    def side(family, alias):
        names = {"postgres": "postgres", "mysql": "mariadb"}
        return Side(family, alias, tmp_path, request.getfixturevalue(names[family]) if family in names else None)

    def make(target, source="duckdb", defaults=UPSERT):
        return Night(tmp_path, osiris, side(source, "shop"), side(target, "copy"), defaults)

    return make


@pytest.mark.parametrize("family", FAMILIES)
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


@pytest.mark.parametrize("target", FAMILIES)
@pytest.mark.parametrize("source", FAMILIES)
def test_rows_that_were_copied_before_lack_the_values_of_a_new_column(night_of, source, target):
    night = night_of(target, source)
    night.shop.sql("INSERT INTO orders VALUES (2, 2), (3, 3)")
    assert night.run() == []
    night.add_column("note VARCHAR(9)")
    night.shop.sql("UPDATE orders SET note = 'old'", "INSERT INTO orders VALUES (4, 4, 'new'), (5, 5, NULL)")
    (warning,) = night.run()
    assert warning["code"] == "STA062"
    lacking = night.target.sql("SELECT id FROM orders WHERE note IS NULL AND id <> 5")
    assert f"'note' in {len(lacking)} of 5 rows" in warning["message"]
    assert {key for (key,) in lacking} >= {1, 2}
    assert night.run() == []
    night.follow(warning["hint"])
    assert night.run() == []
    assert night.target.sql("SELECT id FROM orders WHERE note IS NULL") == [(5,)]


@pytest.mark.parametrize("target", FAMILIES)
def test_so_do_those_that_were_appended(night_of, target):
    night = night_of(target, defaults="write_mode: append")
    night.run()
    night.add_column("note VARCHAR(9)")
    night.shop.sql("INSERT INTO orders VALUES (2, 2, 'new'), (3, 3, NULL)")
    (warning,) = night.run()
    assert (warning["code"], "'note' in 1 of 3 rows" in warning["message"]) == ("STA062", True)
    assert warning["hint"].startswith("empty the table")
    night.target.sql("DELETE FROM orders")
    night.follow(warning["hint"])
    assert night.run() == []
    assert sorted(night.target.sql("SELECT id, note FROM orders")) == [(1, None), (2, "new"), (3, None)]


def test_the_warning_comes_also_if_no_row_is_new_and_says_only_what_is_lacking(night_of):
    night = night_of("sqlite", "sqlite")
    night.run()
    night.add_column("note TEXT")
    (warning,) = night.run()
    assert "'note' in 1 of 1 rows" in warning["message"]
    night.add_column("more TEXT")
    night.target.sql("UPDATE orders SET more = 'by hand'")
    assert night.run() == []


def test_console_page_and_package_have_the_warning(night_of):
    night = night_of("sqlite", "sqlite")
    night.run()
    night.add_column("note TEXT")
    done = night.osiris("run", night.file, "--new-run", cwd=night.root)
    assert "STA062" in done.stdout + done.stderr
    assert night.osiris("logs", "html", "last", cwd=night.root).returncode == 0
    (session,) = sorted((night.root / "logs").glob("*-night-*"))[-1:]
    (page,), (package,) = session.rglob("*.html"), session.rglob("*_aiop.json")
    for text in (html.unescape(page.read_text()), package.read_text()):
        assert "STA062" in text
        assert "'note' in 1 of 1 rows" in text
