"""Dialects from packages: loaded when they are needed, and without effect on ours."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest
from sqlglot import exp

from osiris.errors import OsirisError
from osiris.sql import check
from osiris.sql.safety import dialects
from osiris.sql.safety.dialects import Dialects, load_allowed
from osiris.sql.safety.literals import literal, placeholders, substitute

ROW = """
from pathlib import Path
from osiris.sql.safety.dialects import Dialect

COBOL = Dialect(
    name="cobol",
    grammar="osiris.sql.safety.grammar_postgres:PostgresText",
    allowed=str(Path(__file__).with_name("functions.toml")),
    traits=frozenset({"exact quoted names", "qualified names", "upper names"}),
    no_rows="SELECT NULL FROM DUAL WHERE FALSE",
    zones=False,
)
OTHER = "no dialect"
"""


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Return a function that installs a package with entry points; its module defines `cobol`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(entries, code=ROW, package="ham_dialect"):
        folder, info = tmp_path / package, tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        info.mkdir()
        (folder / "__init__.py").write_text(code)
        allowed = Path(dialects.__file__).with_name("functions") / "postgres.toml"
        shutil.copy(allowed, folder / "functions.toml")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
        (info / "entry_points.txt").write_text(f"[osiris.dialects]\n{lines}")
        importlib.invalidate_caches()
        return folder

    yield install
    for name in [name for name in sys.modules if name.startswith("ham_")]:
        del sys.modules[name]


def refused(table, name):
    with pytest.raises(OsirisError) as caught:
        table[name]
    (found,) = caught.value.diagnostics
    return found


def test_one_is_loaded_when_it_is_asked_for_and_not_when_it_is_listed(bring):
    bring({"cobol": "ham_dialect:COBOL"})
    table = Dialects()
    assert [*table] == ["duckdb", "mysql", "postgres", "cobol"]
    assert len(table) == 4
    assert table["mysql"].name == "mysql"
    assert "ham_dialect" not in sys.modules
    assert table["cobol"].name == "cobol"
    assert table["cobol"] is table["cobol"]


def test_what_nobody_brings_is_none():
    assert Dialects().get("cobol") is None
    assert "cobol" not in Dialects()
    (found,) = check("SELECT 1", "cobol", relations=[]).diagnostics
    assert found.code == "SQL010"


@pytest.mark.parametrize("name", ["duckdb", "mysql", "postgres"])
def test_nobody_takes_the_place_of_ours(bring, name):
    bring({name: "ham_dialect:COBOL"}, code="raise SystemExit('loaded')")
    assert Dialects()[name].name == name
    assert "ham_dialect" not in sys.modules


def test_two_of_a_name_are_none(bring):
    bring({"cobol": "ham_dialect:COBOL"})
    bring({"cobol": "ham_other:COBOL"}, package="ham_other")
    found = refused(Dialects(), "cobol")
    assert found.code == "REG001"
    assert "ham_dialect:COBOL, ham_other:COBOL" in found.message


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        ("ham_dialect:COBOL", "1 / 0", "does not load: ZeroDivisionError"),
        ("ham_dialect:NONE", ROW, "does not load: AttributeError"),
        ("ham_dialect:COBOL", ROW.replace("PostgresText", "Gone"), "does not load: AttributeError"),
        ("ham_dialect:COBOL", ROW.replace("grammar_postgres", "gone"), "does not load: ModuleNotFoundError"),
        ("ham_dialect:COBOL", ROW.replace("functions.toml", "gone.toml"), "does not load: FileNotFoundError"),
        ("ham_dialect:COBOL", ROW.replace("functions.toml", "__init__.py"), "does not load: TOMLDecodeError"),
        ("ham_dialect:OTHER", ROW, "is not a dialect of that name"),
        ("osiris.sql.safety.dialects:DIALECTS", ROW, "is not a dialect of that name"),
    ],
)
def test_what_is_no_dialect_is_refused(bring, value, code, said):
    bring({"cobol": value}, code=code)
    found = refused(Dialects(), "cobol")
    assert found.code == "REG001"
    assert said in found.message


def test_no_file_allows_what_changes_anything(bring):
    changing = {
        kind for kind, node in vars(exp).items() if isinstance(node, type) and issubclass(node, (exp.DDL, exp.DML))
    }
    changing = changing - {"DDL", "DML"} | {"Command", "Into", "Kill", "LoadData", "Lock", "NextValueFor", "Returning"}
    changing |= {"Set", "Transaction", "TruncateTable", "Use"}
    folder = bring({"cobol": "ham_dialect:COBOL"})
    file = folder / "functions.toml"
    file.write_text(file.read_text().replace("nodes = [", f"nodes = {sorted(changing)}"[:-1] + ", "))
    load_allowed.cache_clear()
    allowed = load_allowed(Dialects()["cobol"])
    assert not allowed.nodes & changing
    assert "Select" in allowed.nodes
    load_allowed.cache_clear()


def test_names_and_values_are_read_and_written_as_its_row_says(bring, monkeypatch):
    """The table of this process has it from now on: it is restored afterwards."""
    import datetime as dt

    bring({"cobol": "ham_dialect:COBOL"})
    monkeypatch.setattr(dialects.DIALECTS, "_loaded", dict(dialects.DIALECTS._loaded))
    known = {"ORDERS": ["ID", "note"]}
    assert check('SELECT id, "note" FROM orders', "cobol", relations=known).relations == {"ORDERS": 1}
    assert [d.code for d in check('SELECT "id" FROM orders', "cobol", relations=known).diagnostics] == ["SQL009"]
    assert [d.code for d in check('SELECT id FROM "orders"', "cobol", relations=known).diagnostics] == ["SQL006"]
    moment = dt.datetime(2024, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert literal(moment, "cobol") == "TIMESTAMP '2024-01-02 02:00:00'"
    assert literal("a\\b'c", "cobol") == "'a\\b''c'"
    assert literal([1], "cobol") is None
    assert substitute("a IN ${x}", {"x": []}, "cobol") == "a IN (SELECT NULL FROM DUAL WHERE FALSE)"
    assert [each.where for each in placeholders("'${a}' \"${b}\" ${c}", "cobol")] == ["string", "name", "code"]
    load_allowed.cache_clear()
