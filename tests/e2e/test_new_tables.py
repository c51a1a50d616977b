"""New tables of an entry with `new_tables: add`: those that cannot be replicated are left out with a warning."""

import json

import pytest
import yaml
from tests.e2e.databases import Side

STAMPS = {
    "postgres": "at timestamptz NOT NULL DEFAULT clock_timestamp()",
    "sqlite": "at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP",
}
KEY = "id INTEGER PRIMARY KEY"
LONG = "t" * 62
"""Valid in both databases, and not with `c_` before it in PostgreSQL."""

OF_ALL = {
    "nokey": ("id INT, {stamp}", "OML054"),
    "nocursor": (KEY, "DAT005"),
    "nullable": (f"{KEY}, at TIMESTAMP DEFAULT CURRENT_TIMESTAMP", "STA007"),
    "unordered": (f"{KEY}, at BOOLEAN NOT NULL", "STA007"),
    "marked": (f"{KEY}, {{stamp}}, deleted_at TEXT", "STA037"),
}
"""Definitions of tables by name, each with the code of the reason why they are left out."""

OF_POSTGRES = {
    "typed": ("id TEXT[] PRIMARY KEY, {stamp}", "CMP012"),
    "nothing": ("", "OML054"),
    '"a.b"': (f"{KEY}, {{stamp}}", "OML051"),
    LONG: (f"{KEY}, {{stamp}}", "OML045"),
    '"AKIAIOSFODNN7EXAMPLE"': (f"{KEY}, {{stamp}}", "CMP006"),
}
LEFT_OUT = "entry 'shop': new tables of @{family}.shop cannot be replicated and are left out: {table}"


class Shop:
    """A project that copies all tables of a source into a target of the same family, as `c_…`."""

    def __init__(self, root, osiris, family, server):
        self.root, self.osiris, self.stamp = root, osiris, STAMPS[family]
        self.schema, self.refused = ("public", OF_ALL | OF_POSTGRES) if server else ("main", OF_ALL)
        self.source, self.target = (Side(family, alias, root, server) for alias in ("shop", "wh"))
        connections = {"connections": {family: {"shop": self.source.fields, "wh": self.target.fields}}}
        (root / "osiris.yaml").write_text("")
        (root / "osiris_connections.yaml").write_text(yaml.safe_dump(connections))
        (root / "pipelines").mkdir()
        entry = {
            "id": "shop",
            "from": {"connection": f"@{family}.shop", "tables": ["*"], "new_tables": "add"},
            "to": {"connection": f"@{family}.wh", "table": "c_{table}"},
            "defaults": {
                "cursor": {"column": "at", "stamped_by": "server", **({"zone": "UTC"} if family == "sqlite" else {})},
                "write_mode": "upsert",
                "deletes": {"compare": "keys"},
            },
        }
        self.file = root / "pipelines" / "shop.yaml"
        self.file.write_text(json.dumps({"oml_version": "0.3.0", "name": "shop", "replicate": [entry]}))
        self.create("fine", f"{KEY}, {{stamp}}")
        self.source.sql("INSERT INTO fine (id) VALUES (1)")

    def create(self, name, columns):
        self.source.sql(f"CREATE TABLE {name} ({columns.format(stamp=self.stamp)})")

    def run(self, code=0):
        """Return the warnings and errors of a run, by code."""
        env = self.source.env | self.target.env
        done = self.osiris("run", self.file, "--json", cwd=self.root, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        answer = json.loads(done.stdout)["diagnostics"]
        return {item["code"]: item["message"] for item in answer if item["severity"] != "note"}


@pytest.fixture(params=["postgres", "sqlite"])
def shop(request, tmp_path, osiris):
    """A shop that was copied once."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    shop = Shop(tmp_path, osiris, request.param, server)
    assert shop.run() == {}
    return shop


def test_each_new_table_that_cannot_be_replicated_is_left_out_with_the_reason(shop):
    for name, (columns, code) in shop.refused.items():
        shop.create(name, columns)
        shown = "***" if code == "CMP006" else f"{shop.schema}.{name}"
        assert shop.run() == {"LCK013": LEFT_OUT.format(family=shop.source.family, table=f"{shown} ({code})")}
        shop.source.sql(f"DROP TABLE {name}")
    assert shop.run() == {}


def test_all_other_new_tables_are_added(shop):
    for name, (columns, _) in shop.refused.items():
        shop.create(name, columns)
    for number in range(3):
        shop.create(f"usable{number}", f"{KEY}, {{stamp}}")
        shop.source.sql(f"INSERT INTO usable{number} (id) VALUES ({number})")
    shop.source.sql("INSERT INTO fine (id) VALUES (2)")
    for _ in range(2):
        warnings = shop.run()
        assert list(warnings) == ["LCK013"]
        assert "usable" not in warnings["LCK013"]
        assert [shop.target.sql(f"SELECT id FROM c_usable{number}") for number in range(3)] == [[(0,)], [(1,)], [(2,)]]
        assert shop.target.sql("SELECT id FROM c_fine ORDER BY id") == [(1,), (2,)]
    pinned = [line for line in (shop.root / "osiris.lock").read_text().splitlines() if "key: [" in line]
    assert len(pinned) == 4


def test_a_new_table_whose_target_does_not_accept_its_rows_is_left_out(shop):
    shop.create("taken", f"{KEY}, {{stamp}}, amount INT")
    shop.target.sql("CREATE TABLE c_taken (id INTEGER PRIMARY KEY, other TEXT NOT NULL)")
    warnings = shop.run()
    assert list(warnings) == ["LCK013"]
    assert "taken (DAT029)" in warnings["LCK013"]
    shop.target.sql("DROP TABLE c_taken")
    assert shop.run() == {}
    assert shop.target.sql("SELECT id FROM c_taken") == []


def test_what_is_wrong_with_a_table_that_was_replicated_stops_the_run(shop):
    shop.create("nocursor", KEY)
    text = shop.file.read_text()
    shop.file.write_text(text.replace('"at"', '"stamp"'))
    assert "DAT005" in shop.run(code=2)
