"""Entries of `replicate`: their validation, and the steps that they become."""

import re

import pytest

from osiris.errors import OsirisError
from osiris.oml.parse import parse
from osiris.oml.replicate import Catalogue, SourceTable, parse_pattern, step_id, unusable
from osiris.oml.validate import validate
from osiris.registry import load_registry

FILE = """\
oml_version: "0.3.0"
name: shop
replicate:
  - id: shop
    from:
      connection: "@postgres.shop"
      tables: ["sales.*", crm.customers]
      except: ["*.*_tmp"]
    to:
      connection: "@postgres.wh"
      table: "raw_{schema}.{table}"
    defaults:
      cursor: {column: updated_at, late: open_transactions}
      write_mode: upsert
      deletes: {compare: keys, every: 24h, as: soft, at_most: 5%}
    tables:
      sales.lines: {cursor: {column: id, late: row_xids}, write_mode: append, deletes: none}
"""
TABLES = (
    SourceTable("sales", "orders", ("id",)),
    SourceTable("sales", "lines"),
    SourceTable("crm", "customers", ("a", "b")),
    SourceTable("sales", "load_tmp"),
    SourceTable("sales", "_osiris_ledger", ("a",)),
    SourceTable("sales", "orders_p1", ("id",), "partition"),
    SourceTable("public", "settings", ("name",)),
)
REGISTRY = load_registry()


def validated(text, tables=TABLES, asked=None):
    """Return the pipeline of a text; `asked` collects the entries whose tables are asked."""

    def catalogues(_name, entries):
        asked.extend(entries) if asked is not None else None
        return {entry.id: Catalogue("public", tuple(tables)) for entry in entries}

    document = parse(text, "shop.yaml")
    return validate(document, REGISTRY, params={}, env={}, profile=None, defaults={}, catalogues=catalogues)[0]


def problems(text, tables=TABLES):
    with pytest.raises(OsirisError) as caught:
        validated(text, tables)
    return [(each.code, each.location.line, each.hint) for each in caught.value.diagnostics]


def places(text, tables=TABLES):
    return [(code, line) for code, line, _ in problems(text, tables)]


@pytest.mark.parametrize("every", ["run", "40s", "90 s", "15m", "24h", "2d"])
def test_how_often_keys_are_compared_is_a_duration(every):
    steps = validated(FILE.replace("every: 24h", f"every: {every}")).steps
    assert every in [step.config["deletes"]["every"] for step in steps if "deletes" in step.config]


def test_the_example_of_the_language():
    steps = {step.id: step for step in validated(FILE).steps}
    names = ["shop-crm-customers", "shop-sales-lines", "shop-sales-orders"]
    assert list(steps) == [each for name in names for each in (f"{name}-source", name)]
    assert {step.entry for step in steps.values()} == {"shop"}
    reader, writer = steps["shop-sales-orders-source"], steps["shop-sales-orders"]
    assert (reader.component, reader.mode, str(reader.connection)) == ("postgres.extractor", "read", "@postgres.shop")
    cursor = {"column": "updated_at", "late": "open_transactions"}
    assert reader.config == {"schema": "sales", "table": "orders", "cursor": cursor}
    assert (writer.component, writer.needs) == ("postgres.writer", ("shop-sales-orders-source",))
    assert writer.config == {
        "schema": "raw_sales",
        "table": "orders",
        "write_mode": "upsert",
        "primary_key": ["id"],
        "deletes": {"compare": "keys", "every": "24h", "as": "soft", "at_most": "5%"},
    }
    assert steps["shop-crm-customers"].config["primary_key"] == ["a", "b"]
    lines = steps["shop-sales-lines"].config
    assert lines == {"schema": "raw_sales", "table": "lines", "write_mode": "append"}
    assert steps["shop-sales-lines-source"].config["cursor"] == {"column": "id", "late": "row_xids"}


def test_a_default_is_switched_off():
    text = FILE.replace("cursor: {column: id, late: row_xids}", "cursor: none")
    assert "cursor" not in validated(text).step("shop-sales-lines-source").config


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("settings", ["settings"]),
        ("*", ["settings"]),  # in the schema of the connection
        ("*.*", ["customers", "settings", "lines", "load_tmp", "orders"]),
        ("s?les.o*", ["orders"]),
        ('"sales".orders', ["orders"]),
        ("sales.orders_p1", ["orders_p1"]),
    ],
)
def test_patterns(pattern, expected):
    text = re.sub(r"tables: \[.*\]", lambda _: f"tables: ['{pattern}']", FILE)
    text = (
        re.sub(r"      except:.*\n", "", text[: text.index("    defaults")]) + "    defaults: {write_mode: replace}\n"
    )
    steps = validated(text).steps
    assert [step.config["table"] for step in steps if step.mode == "read"] == expected


@pytest.mark.parametrize("name", ["a.b.c", "", "a..b", ".a", "a.", "a b", 'a"b', '"a', "a,b"])
def test_what_is_no_name(name):
    assert parse_pattern(name) is None


def test_quoted_names_have_no_wildcards():
    pattern = parse_pattern('"a*"."b ""c"".d"')
    assert pattern.exact
    assert pattern.matches(SourceTable("a*", 'b "c".d'), "public")
    assert not pattern.matches(SourceTable("ab", 'b "c".d'), "public")


def test_a_table_shows_the_name_that_selects_it():
    for table in (*TABLES, SourceTable("a.b", 'c "d" *?'), SourceTable("Ü", "x-y")):
        assert parse_pattern(str(table)).matches(table, "public")
        assert parse_pattern(str(table)).exact


def test_ids_are_safe_short_and_different():
    tables = [
        *(SourceTable("a", name) for name in ("b", "b-c", "b c", "b_c", "ü", "x" * 90, "x" * 91, "B")),
        *(SourceTable(schema, name) for schema, name in (("a-b", "c"), ("a", "b-c-d"), ("a-b", "c-d"))),
    ]
    ids = [step_id("shop", table) for table in tables]
    assert len({*ids}) == len(ids)
    assert all(re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", f"{each}-source") for each in ids)
    assert ids[0] == "shop-a-b"


BAD = {
    "version": (FILE.replace("0.3.0", "0.2.0"), [("OML035", 3)]),
    "no target": (FILE.replace('      table: "raw_{schema}.{table}"\n', ""), [("OML040", 10)]),
    "two targets": (FILE.replace("    defaults:", "      folder: a/\n    defaults:"), [("OML040", 10)]),
    "key": (FILE.replace("except:", "excpt:"), [("OML002", 8)]),
    "config key": (FILE.replace("      write_mode: upsert", "      writ_mode: upsert"), [("OML002", 14)]),
    "config value": (FILE.replace("write_mode: append", "write_mode: apend"), [("OML005", 17)]),
    "pattern": (FILE.replace("crm.customers", "a.crm.customers"), [("OML050", 7)]),
    "wildcard in tables": (FILE.replace("sales.lines", '"sales.*"'), [("OML050", 17)]),
    "placeholder": (FILE.replace("{table}", "{tabel}"), [("OML051", 11)]),
    "three parts": (FILE.replace("raw_{schema}", "a.b"), [("OML051", 11)]),
    "schema of SQLite": (FILE.replace("@postgres.wh", "@sqlite.wh"), [("OML051", 11)]),
    "no family of tables": (FILE.replace("@postgres.shop", "@s3.shop"), [("OML059", 6)]),
    "nothing": (FILE.replace("crm.customers", "crm.customer"), [("OML052", 7)]),
    "one target": (FILE.replace("raw_{schema}.{table}", "raw.copy"), [("OML053", 11)]),
    "no key": (FILE.replace("write_mode: append, ", ""), [("OML054", 17)]),
    "unknown table": (FILE.replace("sales.lines", "sales.line"), [("OML054", 7), ("OML056", 17)]),
    "lock": (FILE.replace("      except:", "      snapshot: lock\n      except:"), [("OML061", 8)]),
    "no mode": (FILE.replace("      write_mode: upsert\n", ""), [("OML060", 13)]),
    "no mode, no defaults": (FILE[: FILE.index("    defaults")], [("OML060", 4)]),
    "id": (
        FILE + "steps:\n- {id: shop, component: filesystem.csv_extractor, mode: read, config: {path: x}}\n",
        [("OML058", 4)],
    ),
}


CASE = """\
oml_version: "0.3.0"
name: shop
replicate:
  - id: shop
    from: {connection: "@postgres.shop", tables: ["*"]}
    to: {%s}
    defaults: {%s}
"""


@pytest.mark.parametrize(
    ("to", "is_refused"),
    [
        ('connection: "@postgres.wh", table: "{table}"', False),
        ('connection: "@supabase.wh", table: "{table}"', False),
        ('connection: "@mysql.wh", table: "{table}"', True),
        ('connection: "@sqlite.wh", table: "{table}"', True),
        ('connection: "@duckdb.wh", table: "{table}"', True),
        ('folder: "lake/{table}"', True),
    ],
)
def test_names_that_differ_only_in_case_are_two_targets_where_case_counts(to, is_refused):
    tables = SourceTable("public", "Orders", ("id",)), SourceTable("public", "orders", ("id",))
    text = CASE % (to, "" if "folder" in to else "write_mode: upsert")
    if is_refused:
        assert [(code, line) for code, line, _ in problems(text, tables)] == [("OML053", 6)]
    else:
        written = [step.config["table"] for step in validated(text, tables).steps if step.mode == "write"]
        assert written == ["Orders", "orders"]


def test_only_extractors_of_an_entry_that_locks_are_told_so():
    text = """\
oml_version: "0.3.0"
name: shop
replicate:
  - id: shop
    from: {connection: "@mysql.shop", tables: ["sales.*"], snapshot: lock}
    to: {connection: "@mysql.wh", table: "raw_{table}"}
    defaults: {write_mode: replace}
"""
    for lock, expected in ((True, {"lock"}), (False, {None})):
        steps = validated(text if lock else text.replace(", snapshot: lock", "")).steps
        assert {step.config.get("snapshot") for step in steps if step.mode == "read"} == expected


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_with_its_place(name):
    text, expected = BAD[name]
    assert sorted(places(text)) == sorted(expected)


def test_hints_have_the_nearest_name():
    hints = {code: hint for code, _, hint in problems(FILE.replace("crm.customers", "crm.custmers"))}
    assert hints["OML052"] == "did you mean 'crm.customers'?"
    ((_, _, hint),) = problems(FILE.replace("{table}", "{tabel}"))
    assert hint == "did you mean '{table}'?"


def test_a_closed_table_is_an_error_and_one_left_out_is_not():
    closed = SourceTable("sales", "closed", ("id",), readable=False)
    assert places(FILE, [*TABLES, closed]) == [("OML055", 7)]
    assert len(validated(FILE.replace('"*.*_tmp"', '"*.*_tmp", sales.closed'), [*TABLES, closed]).steps) == 6


def test_nothing_is_asked_for_a_file_with_problems():
    asked = []
    with pytest.raises(OsirisError):
        validated(FILE.replace("0.3.0", "0.3.1"), asked=asked)
    with pytest.raises(OsirisError):
        validated(FILE + "steps: [{id: a}]\n", asked=asked)
    assert asked == []


def test_folders_have_safe_names():
    text = FILE[: FILE.index("    defaults")].replace("@postgres.wh", "@s3.lake")
    text = text.replace('table: "raw_{schema}.{table}"', 'folder: "s3://lake/{schema}/{table}"')
    odd = [
        SourceTable("crm", "customers"),
        SourceTable("sales", "../x/y"),
        SourceTable("sales", ".."),
        SourceTable("sales", "a*"),
    ]
    paths = [step.config["path"] for step in validated(text, odd).steps if step.mode == "write"]
    assert paths[0] == "s3://lake/crm/customers/"
    assert all(
        re.fullmatch(r"s3://lake/sales/\w[\w.-]*-[0-9a-f]{8}/|s3://lake/sales/-[0-9a-f]{8}/", each)
        for each in paths[1:]
    )


def test_parameters_are_values_of_entries():
    text = FILE.replace("replicate:", 'params: {what: "sales.*"}\nreplicate:').replace(
        '["sales.*", crm', '["${params.what}", crm'
    )
    assert len(validated(text).steps) == 6


def test_needs_name_an_entry():
    text = (
        FILE + "steps:\n- {id: a, component: filesystem.csv_extractor, mode: read, needs: [shop], config: {path: x}}\n"
    )
    assert validated(text).steps[0].needs == ("shop-crm-customers", "shop-sales-lines", "shop-sales-orders")


ODD = ["null", "5", "[]", "{}", "[5]", "[null]", "[{}]", "[{id: a}]", "[{id: 5, from: x, to: []}]"]
ODD += [
    "[{id: null, from: {connection: 5, tables: x}, to: {table: 5}}]",
    "[{id: a, from: null, to: null, tables: [1]}]",
]
ODD += ['[{id: a, from: {connection: "@postgres.a", tables: [a]}, to: {table: a}, tables: {a: null}, defaults: []}]']
ODD += ['[{id: a, from: {connection: x, tables: [a, a]}, to: {connection: "", table: "{"}}]']
ODD += ['[{id: a, from: {connection: "@postgres.a", tables: [a]}, to: {folder: "${run.id}/{table}/"}, x-b: 1}]']


@pytest.mark.parametrize("text", ODD)
def test_odd_entries_have_problems_with_places(text):
    head = 'oml_version: "0.3.0"\nname: p\n'
    if "x-b" in text:
        assert [
            each.config["path"]
            for each in validated(f"{head}replicate: {text}\n", [SourceTable("public", "a")]).steps[1:]
        ] == ["${run.id}/a/"]
        return
    assert all(line == 3 for _, line in places(f"{head}replicate: {text}\n"))


def test_each_table_may_have_the_write_mode_instead_of_the_defaults():
    text = FILE.replace("      write_mode: upsert\n", "")
    one = text.replace('["sales.*", crm.customers]', "[sales.lines]")
    assert [step.config["write_mode"] for step in validated(one).steps if step.mode == "write"] == ["append"]
    two = text.replace('["sales.*", crm.customers]', "[sales.lines, crm.customers]")
    ((code, line, hint),) = problems(two)
    assert (code, line, hint) == (
        "OML060",
        13,
        "write write_mode: upsert in its defaults; append, if rows are only inserted",
    )


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (SourceTable("sales", "orders", ("id",)), None),
        (SourceTable("sales", "orders", ("id",), readable=False), "OML055"),
        (SourceTable("sales", "${x}", ("id",)), "OML057"),
    ],
)
def test_why_a_new_table_is_left_out(table, code):
    assert unusable(table, {"write_mode": "upsert"}) == code
