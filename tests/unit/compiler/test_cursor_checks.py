"""Below a cursor: row-wise steps and one writer with a state; each problem at its place in the file."""

from dataclasses import replace

import pytest

from osiris.compiler.checks import CHECKS
from osiris.compiler.context import Context
from osiris.compiler.cursor_checks import check_cursor_notes, check_cursors, check_deletes, check_zones
from osiris.connections import Connections, parse_ref
from osiris.model import Step
from osiris.oml.parse import parse
from osiris.oml.validate import validate
from osiris.registry import load_registry

CURSOR = {"column": "updated_at", "late": "none"}
CONNECTIONS = Connections({"sqlite": {"app": {"path": "app.sqlite"}}})
REGISTRY = load_registry()


def read(name="orders", *, cursor=CURSOR, **config):
    config = {"table": name, **({"cursor": cursor} if cursor else {}), **config}
    return Step(name, "sqlite.extractor", "read", config=config, connection=parse_ref("@sqlite.app"))


def query(name, sql, *sources):
    inputs = {source: source for source in sources}
    return Step(name, "duckdb.processor", "transform", config={"query": sql}, needs=sources, inputs=inputs)


def write(source, name="save", **config):
    config = {"table": name, "write_mode": "append", **config}
    where = parse_ref("@sqlite.app")
    return Step(name, "sqlite.writer", "write", config=config, needs=(source,), inputs={"df": source}, connection=where)


@pytest.fixture
def problems(bench):
    def found(*steps, **more):
        return [*check_cursors(Context(bench.pipeline(*steps, **more), bench.registry, CONNECTIONS, bench.root))]

    return found


def places(found):
    return [(problem.code, problem.location.pointer) for problem in found]


def test_the_check_is_part_of_compile():
    assert check_cursors in CHECKS


def test_a_copy_and_row_wise_steps_pass_without_a_word(problems):
    first = query("paid", "SELECT * FROM input_df WHERE paid", "orders")
    second = query("named", "SELECT id, upper(name) AS name FROM df_paid", "paid")
    assert problems(read(), write("orders")) == []
    assert problems(read(), first, second, write("named", write_mode="upsert", primary_key=["id"])) == []


def test_steps_without_a_cursor_are_not_concerned(problems):
    total = query("total", "SELECT sum(x) AS x FROM df", "orders")
    assert problems(read(cursor=False, limit=3), total, write("total", write_mode="replace")) == []


def test_inputs_that_are_read_whole_are_noted(problems):
    joined = query(
        "joined", "SELECT o.id, c.name FROM orders AS o JOIN customers AS c USING (id)", "orders", "customers"
    )
    (note,) = problems(read(), read("customers", cursor=False), joined, write("joined"))
    assert (note.code, note.severity, note.location.pointer) == ("STA029", "note", "/steps/2/config/query")
    assert "customers" in note.message


def test_only_extractors_with_that_capability_have_a_cursor(problems):
    config = {"table": "orders", "cursor": CURSOR}
    step = Step("rows", "supabase.extractor", "read", config=config, connection=parse_ref("@supabase.app"))
    found = problems(step, write("rows"))
    assert places(found) == [("STA020", "/steps/0/config/cursor")]
    assert "sqlite.extractor" in found[0].hint


def files(path="in/*.csv", cursor="files", kind="csv"):
    return Step("files", f"filesystem.{kind}_extractor", "read", config={"path": path, "cursor": cursor})


def test_files_have_a_cursor_of_files_and_tables_one_of_a_column(problems):
    upsert = write("files", write_mode="upsert", primary_key=["id"])
    assert problems(files(), upsert) == []
    at = [("STA057", "/steps/0/config/cursor")]
    assert places(problems(files(cursor=CURSOR), upsert)) == at
    assert places(problems(files("lake/orders/", kind="parquet"), upsert)) == at
    table, upsert = read(), replace(upsert, needs=("orders",), inputs={"df": "orders"})
    assert places(problems(replace(table, config={"table": "orders", "cursor": "files"}), upsert)) == at


def test_changed_files_are_appended_again_and_that_is_noted(bench):
    pipeline = bench.pipeline(files(), write("files"))
    (note,) = check_cursor_notes(Context(pipeline, bench.registry, CONNECTIONS, bench.root))
    assert (note.code, note.severity, note.location.pointer) == ("STA058", "note", "/steps/1/config/write_mode")


def test_the_output_of_a_cursor_has_one_reader(problems):
    assert places(problems(read(), write("orders"), write("orders", "again"))) == [("STA021", "/steps/2/inputs")]
    passed = query("paid", "SELECT * FROM df", "orders")
    found = problems(read(), passed, write("paid"), query("more", "SELECT * FROM df", "paid"))
    assert places(found) == [("STA021", "/steps/3/inputs")]


def test_a_cursor_needs_a_writer(problems):
    assert places(problems(read())) == [("STA022", "/steps/0")]
    assert places(problems(read(), query("paid", "SELECT * FROM df", "orders"))) == [("STA022", "/steps/1")]


def test_the_writer_keeps_a_state(problems):
    file = Step("save", "filesystem.csv_writer", "write", config={"path": "a.csv"}, inputs={"df": "orders"})
    found = problems(read(), file)
    assert places(found) == [("STA023", "/steps/1/component")]
    assert "postgres.writer" in found[0].hint


@pytest.mark.parametrize("through", [True, False])
def test_two_cursors_do_not_meet(problems, through):
    middle = query("middle", "SELECT * FROM df", "lines")
    joined = query(
        "joined", "SELECT o.id FROM orders AS o JOIN x USING (id)", "orders", "middle" if through else "lines"
    )
    joined = replace(joined, inputs={"orders": "orders", "x": joined.needs[1]})
    steps = (read(), read("lines"), *([middle] if through else []), joined, write("joined"))
    found = [problem for problem in problems(*steps) if problem.severity == "error"]
    assert places(found) == [("STA024", "/steps/1/config/cursor")]


def test_rows_are_added(problems):
    found = problems(read(), write("orders", write_mode="replace"))
    assert places(found) == [("STA025", "/steps/1/config/write_mode")]


@pytest.mark.parametrize("key", ["limit", "offset"])
def test_a_cursor_has_no_limit(problems, key):
    assert places(problems(read(**{key: 5}), write("orders"))) == [("STA026", f"/steps/0/config/{key}")]


def test_other_transforms_may_need_all_rows(problems):
    step = Step("kept", "lake.query", "transform", config={"query": "SELECT 1"}, inputs={"df": "orders"})
    assert places(problems(read(), step, write("kept"))) == [("STA027", "/steps/1/component")]


def test_one_input_under_two_names_is_read_twice(problems):
    step = query("joined", "SELECT a.id FROM a JOIN b USING (id)", "orders")
    step = replace(step, inputs={"a": "orders", "b": "orders"})
    (problem,) = problems(read(), step, write("joined"))
    assert (problem.code, "twice" in problem.message) == ("STA028", True)


def test_a_circle_is_left_to_its_own_check(problems):
    one, two = query("one", "SELECT * FROM df_two", "two", "orders"), query("two", "SELECT * FROM df", "one")
    assert "STA028" in [problem.code for problem in problems(read(), one, two)]


TEXT = """\
oml_version: "0.2.0"
name: shop
steps:
  - id: orders
    component: sqlite.extractor
    mode: read
    config: {connection: "@sqlite.app", table: orders}
  - id: totals
    component: duckdb.processor
    mode: transform
    config:
      query: |
        SELECT day,
               sum(x) AS x
        FROM input_df
        GROUP BY day
  - id: save
    component: sqlite.writer
    mode: write
    config: {connection: "@sqlite.app", table: totals, write_mode: append}
"""


def test_a_problem_of_sql_is_placed_in_the_file(tmp_path):
    pipeline, _ = validate(parse(TEXT, "shop.yaml"), REGISTRY, params={}, env={}, profile=None, defaults={})
    first, *others = pipeline.steps
    steps = (replace(first, config={**first.config, "cursor": CURSOR}), *others)
    context = Context(replace(pipeline, steps=steps), REGISTRY, CONNECTIONS, tmp_path)
    (problem,) = check_cursors(context)
    assert (problem.code, problem.location.file) == ("STA028", "shop.yaml")
    assert (problem.location.line, problem.location.column) == (16, 9)


NOTED = [
    ({"column": "id", "late": {"lag": 10}}, "append", ["STA052"]),
    ({"column": "at", "late": {"lag": "15m"}}, "append", ["STA056"]),
    ({"column": "at", "late": {"lag": "15m"}}, "upsert", []),
    ({"column": "id", "late": "none"}, "append", ["STA053"]),
    ({"column": "at"}, "append", ["STA054", "STA056"]),
    ({"column": "at", "stamped_by": "server", "zone": "Europe/Prague"}, "upsert", ["STA055"]),
    ({"column": "id", "late": "row_xids"}, "upsert", []),
    ({"column": "id", "late": "row_xids"}, "append", ["STA056"]),
]


@pytest.mark.parametrize(("cursor", "mode", "expected"), NOTED)
def test_what_a_cursor_does_not_see_is_noted(bench, cursor, mode, expected):
    pipeline = bench.pipeline(read(cursor=cursor), write("orders", write_mode=mode))
    notes = [*check_cursor_notes(Context(pipeline, bench.registry, CONNECTIONS, bench.root))]
    assert [note.code for note in notes] == expected
    assert all(note.severity == "note" and note.message.startswith("step '") for note in notes)
    pointers = {"STA056": "/steps/1/config/write_mode"}
    assert all(note.location.pointer == pointers.get(note.code, "/steps/0/config/cursor") for note in notes)


def test_an_entry_has_one_note_of_a_kind(bench):
    steps = [
        replace(step, entry="shop", pointer="/replicate/0")
        for name in ("a", "b", "c")
        for step in (read(name), write(name, f"to_{name}", write_mode="upsert"))
    ]
    pipeline = replace(bench.pipeline(), steps=tuple(steps))
    apart, note = check_cursor_notes(Context(pipeline, bench.registry, CONNECTIONS, bench.root))
    assert (note.code, note.location.pointer) == ("STA053", "/replicate/0/defaults/cursor")
    assert note.message.startswith("entry 'shop' (3 tables: a, b, c): ")
    assert (apart.code, apart.location.pointer) == ("STA059", "/replicate/0/from")
    assert apart.message.startswith("entry 'shop' (3 tables: a, b, c): each table is read in a transaction of its own")


def entry_of(family, *names):
    """Return the steps of an entry that copies tables without a cursor."""
    reads = [replace(read(name, cursor=None), component=f"{family}.extractor") for name in names]
    return [replace(step, entry="shop", pointer=f"/replicate/0/tables/{step.id}") for step in reads]


@pytest.mark.parametrize(
    ("family", "names", "expected"),
    [
        ("sqlite", ("a", "b"), [("STA059", "/replicate/0/from")]),
        ("duckdb", ("a", "b"), [("STA059", "/replicate/0/from")]),
        ("sqlite", ("a",), []),
        ("postgres", ("a", "b"), []),
        ("mysql", ("a", "b"), []),
    ],
)
def test_tables_of_a_file_that_share_no_snapshot_are_noted(bench, family, names, expected):
    pipeline = replace(bench.pipeline(), steps=tuple(entry_of(family, *names)))
    notes = check_cursor_notes(Context(pipeline, bench.registry, CONNECTIONS, bench.root))
    assert [(note.code, note.location.pointer) for note in notes] == expected


ZONES = [
    ("Europe/Prag", "did you mean 'Europe/Prague'?"),
    ("europe/prague", "did you mean 'Europe/Prague'?"),
    ("mitteleuropa", "write a name like Europe/Prague, America/New_York or UTC"),
]


@pytest.mark.parametrize(("zone", "hint"), ZONES)
def test_an_unknown_zone_is_refused_with_a_near_name(bench, zone, hint):
    assert check_zones in CHECKS
    steps = read(cursor={**CURSOR, "zone": zone}), read("lines", cursor={**CURSOR, "zone": "UTC"}), files()
    context = Context(bench.pipeline(*steps), bench.registry, CONNECTIONS, bench.root)
    (problem,) = check_zones(context)
    assert (problem.code, problem.severity, problem.hint) == ("OML028", "error", hint)
    assert problem.location.pointer == "/steps/0/config/cursor/zone"


def test_an_unknown_zone_of_defaults_is_reported_once(bench):
    cursor = {**CURSOR, "zone": "Europe/Prag"}
    steps = [replace(read(name, cursor=cursor), entry="shop", pointer="/replicate/0") for name in ("a", "b")]
    context = Context(replace(bench.pipeline(), steps=tuple(steps)), bench.registry, CONNECTIONS, bench.root)
    assert places(check_zones(context)) == [("OML028", "/replicate/0/defaults/cursor/zone")]
    assert "STA055" not in [note.code for note in check_cursor_notes(context)]  # nobody stamps in such a zone


COMPARE = {"compare": "keys"}


@pytest.fixture
def of_deletes(bench):
    def places_of(*steps):
        return places([*check_deletes(Context(bench.pipeline(*steps), bench.registry, CONNECTIONS, bench.root))])

    return places_of


def upsert(source="orders", name="save", deletes=COMPARE, **config):
    return write(source, name, write_mode="upsert", primary_key=["id"], deletes=deletes, **config)


def test_deletes_need_a_table_with_a_cursor_right_before(of_deletes):
    assert of_deletes(read(), upsert()) == []
    at = [("STA030", "/steps/1/config/deletes")]
    assert of_deletes(read(cursor=None), upsert()) == at
    paid = query("paid", "SELECT * FROM df", "orders")
    assert of_deletes(read(), paid, upsert("paid")) == [("STA030", "/steps/2/config/deletes")]


def test_a_cast_of_a_key_is_refused_where_it_is_written(of_deletes):
    cast = {"id": "utf8"}
    assert of_deletes(read(cast=cast), upsert()) == [("STA032", "/steps/0/config/cast")]
    assert of_deletes(read(cast={"note": "utf8"}), upsert()) == []


def test_only_one_step_writes_a_target_whose_rows_are_deleted(bench):
    steps = (read(), upsert(), read("more"), replace(write("more", "other"), config={"table": "save"}))
    context = Context(bench.pipeline(*steps), bench.registry, CONNECTIONS, bench.root)
    assert "STA033" in [problem.code for check in CHECKS for problem in check(context)]


def test_keys_of_the_comparison_do_not_go_with_a_column(of_deletes):
    both = {"column": "is_deleted", "every": "24h"}
    assert of_deletes(read(), upsert(deletes=both)) == [("STA034", "/steps/1/config/deletes")]


def test_a_component_that_deletes_no_rows_is_named(of_deletes):
    step = replace(write("orders"), component="filesystem.csv_writer", config={"path": "x.csv", "deletes": COMPARE})
    assert of_deletes(read(), step) == [("STA039", "/steps/1/config/deletes")]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, amount FROM orders ORDER BY id LIMIT 5",
        "SELECT max(id) AS id FROM orders",
        "SELECT id, (SELECT count(*) FROM orders) AS n FROM orders",
        "SELECT DISTINCT id FROM orders",
        "SELECT id FROM orders UNION ALL SELECT id FROM older",
        "SELECT id, row_number() OVER (ORDER BY id) AS n FROM orders",
    ],
)
def test_the_query_of_a_cursor_is_row_wise(problems, sql):
    step = Step("orders", "duckdb.extractor", "read", config={"query": sql, "cursor": {"column": "id", "late": "none"}})
    found = problems(step, write("orders"))
    assert places(found) == [("STA050", "/steps/0/config/query")]
    plain = replace(step, config={**step.config, "query": "SELECT id, amount FROM orders WHERE amount > 0"})
    assert problems(plain, write("orders")) == []


def test_what_a_cursor_is_joined_with_is_read_for_that_alone(problems):
    joined = query("joined", "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer", "orders", "customers")
    steps = (read(), read("customers", cursor=None), joined, write("joined"))
    assert [code for code, _ in places(problems(*steps))] == ["STA029"]
    found = problems(*steps, write("customers", "names"))
    assert ("STA051", "/steps/2/inputs") in places(found)


def test_a_note_of_many_tables_names_the_first(bench):
    names = [f"t{number}" for number in range(7)]
    steps = [
        replace(step, entry="shop", pointer="/replicate/0", config={**step.config, "table": name})
        for name in names
        for step in (read(name), write(name, f"to_{name}", write_mode="upsert"))
    ]
    pipeline = replace(bench.pipeline(), steps=tuple(steps))
    notes = [*check_cursor_notes(Context(pipeline, bench.registry, CONNECTIONS, bench.root))]
    assert [note.code for note in notes] == ["STA059", "STA053"]
    for note in notes:
        assert note.message.startswith("entry 'shop' (7 tables: t0, t1, t2, t3, t4 and 2 more): ")
