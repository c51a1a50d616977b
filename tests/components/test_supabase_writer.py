"""Supabase over REST: what is sent arrives exactly, what does not fit is rejected first, and an append is never sent
twice.
"""

import datetime as dt
import decimal
import uuid
from dataclasses import replace
from itertools import count

import pyarrow as pa
import pytest
from tests.servers import start_postgrest

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.table import stream
from osiris.testing.trial import Trial, rows_of, table_of
from osiris.testing.values import outcomes, samples
from osiris.types import schema_of

D = decimal.Decimal
REGISTRY = load_registry()
NUMBERS = count()
UPSERT = {"write_mode": "upsert", "primary_key": ["id"]}


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.new_database()


@pytest.fixture(scope="module")
def served(postgres, database):
    with start_postgrest(postgres.fields(database), root_is_open=True) as server:
        yield server


@pytest.fixture
def project(served):
    yield served
    served.faults.clear()


@pytest.fixture
def wire(postgres, database, tmp_path):
    """`wire(component, table="t", …)` returns a step of the postgres family in the same database."""

    def make(kind, **config):
        fields = postgres.fields(database)
        return Trial(REGISTRY, f"postgres.{kind}", tmp_path, config, {**fields, "password": Secret(fields["password"])})

    return make


@pytest.fixture
def table(project):
    """`table("id int PRIMARY KEY, …")` creates a table, and returns its name."""

    def make(columns="id int PRIMARY KEY, name text"):
        name = f"t{next(NUMBERS)}"
        project.run(f"CREATE TABLE {name} ({columns})")
        return name

    return make


@pytest.fixture
def writer(project, tmp_path):
    """`writer("t", …)` returns the step; `key` is of its connection."""

    def make(name, key=None, **config):
        connection = {"url": project.url, "key": Secret(key or project.service_key)}
        return Trial(REGISTRY, "supabase.writer", tmp_path, {"table": name, **config}, connection)

    return make


def some(*ids, name="x"):
    names = pa.array([f"{name}{n}" for n in ids], pa.string())
    return rows_of(pa.table({"id": pa.array(ids, pa.int32()), "name": names}))


def problems(call, *args):
    with pytest.raises(OsirisError) as caught:
        call(*args)
    return list(caught.value.diagnostics)


def code_of(call, *args):
    (found,) = problems(call, *args)
    assert found.hint
    return found.code


def posts(project, name):
    return [request for request in project.requests if request.method == "POST" and request.path.endswith(f"/{name}")]


class Sent:
    """Rows sent over REST to a table that PostgreSQL's own writer created, and read back."""

    def __init__(self, trial, wire):
        self.trial, self.wire = trial, wire

    def check(self, schema):
        self.trial.check(schema)

    def carry(self, rows):
        name = f"sent{next(NUMBERS)}"
        self.wire("writer", table=name).write(rows_of(rows.slice(0, 0)))
        self.trial.changed(config={"table": name}).write(rows_of(rows))
        return table_of(self.wire("extractor", table=name).read())


def test_every_value_arrives_or_is_refused(writer, wire, table):
    tried = samples()
    found = outcomes(tried, Sent(writer(table()), wire))
    assert [(s.type, s.what, o.changed) for s, o in zip(tried, found, strict=True) if o.changed] == []
    carried = {s.type for s, o in zip(tried, found, strict=True) if o.type}
    for kind in (
        "bool",
        "int64",
        "uint64",
        "float32",
        "float64",
        "decimal(38,38)",
        "utf8",
        "binary",
        "date",
        "uuid",
        "json",
    ):
        assert kind in carried
    assert {"time[us]", "timestamp[us]", "timestamp[us,UTC]", "list<int64>", "list<utf8>"} <= carried
    assert {o.refusal.code for o in found if o.refusal} <= {"CMP012", "DAT015", "DAT029", "DAT035"}


def test_append_adds_and_says_that_it_may_add_twice(writer, table, project):
    name = table("id int, name text, at timestamptz DEFAULT '2024-01-01Z'")
    trial = writer(name)
    assert (trial.write(some(1, 2)).rows, trial.write(some(2)).rows) == (2, 1)
    assert project.rows(f"SELECT id, name FROM {name} ORDER BY 1") == [(1, "x1"), (2, "x2"), (2, "x2")]
    assert trial.emitted[0] == ("delivery", {"channel": "rest", "class": "at_least_once"})
    assert trial.write(some()).rows == 0
    assert trial.changed(config={"returning": "representation"}).write(some(3)).rows == 1
    preferred = [request.headers["prefer"].partition(",")[0] for request in posts(project, name)]
    assert preferred == ["return=minimal", "return=minimal", "return=representation"]


def test_upsert_makes_rows_what_they_are_however_often(writer, table, project):
    name = table("id int PRIMARY KEY, \"a,b\" text DEFAULT 'kept', name text")
    trial = writer(name, **UPSERT, batch_size=2)
    for _ in range(2):
        trial.write(some(1, 2, 3))
    trial.write(some(3, 4, name="y"))
    assert project.rows(f"SELECT * FROM {name} ORDER BY 1") == [
        (1, "kept", "x1"),
        (2, "kept", "x2"),
        (3, "kept", "y3"),
        (4, "kept", "y4"),
    ]
    assert trial.emitted[0] == ("delivery", {"channel": "rest", "class": "idempotent_by_key"})
    assert [request.rows for request in posts(project, name)] == [2, 1, 2, 1, 2]


def test_a_key_of_several_columns_with_odd_names(writer, table, project):
    name = table('"k, 1" int, "k.2" text, v uuid, PRIMARY KEY ("k, 1", "k.2")')
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes] * 2, pa.binary(16)))
    rows = pa.table({"k.2": ['a"', "b,c"], "k, 1": pa.array([1, 1], pa.int32()), "v": ids})
    trial = writer(name, write_mode="upsert", primary_key=["k, 1", "k.2"])
    for _ in range(2):
        trial.write(rows_of(rows))
    assert project.rows(f"SELECT * FROM {name}") == [(1, text, uuid.UUID(int=7)) for text in ('a"', "b,c")]


@pytest.mark.parametrize(
    ("rows", "made", "expected"),
    [
        (some(1, 1), "id int PRIMARY KEY, name text", "DAT028"),
        (some(1), "id int, name text", "DAT029"),
        (some(1), "id int UNIQUE DEFERRABLE, name text", None),
    ],
)
def test_keys_that_do_not_name_rows(writer, table, project, rows, made, expected):
    name = table(made)
    found = problems(writer(name, **UPSERT).write, rows)
    assert expected in (None, found[0].code)
    assert project.rows(f"SELECT count(*) FROM {name}") == [(0,)]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("id int, nam text", ["no column 'name'"]),
        ("id smallint, name text", ["'id' is smallint, which cannot hold int32"]),
        ("id int, name text, must int NOT NULL", ["'must' needs a value"]),
        ("id text, name int", ["'id' is text", "'name' is integer"]),
    ],
)
def test_tables_that_rows_do_not_fit(writer, table, project, made, words):
    trial = writer(table(made))
    for call in (lambda: trial.write(some(1)), lambda: trial.confirm(some().schema)):
        found = problems(call)
        assert [d.code for d in found] == ["DAT029"] * len(words)
        assert all(any(text in d.message for d in found) for text in words)


def test_tables_that_are_not_there(writer, table):
    assert writer(table()).confirm(some().schema) == "there"
    (found,) = problems(writer("nothing_like_it").confirm, some().schema)
    assert (found.code, "no table can be made" in found.hint) == ("DRV012", True)
    assert code_of(writer("nothing.t").confirm, some().schema) == "DRV012"
    schema = table()
    assert writer(f"public.{schema}").write(some(1)).rows == 1


def test_values_are_looked_at_before_anything_is_sent(writer, table, project):
    name = table("id int, name varchar(3), t time, f float8")
    later = {"t": pa.array([dt.time(1)] * 2), "f": [1.0, float("nan")]}
    for text in ("four", "a\0"):
        rows = pa.table({"id": pa.array([1, 2], pa.int32()), "name": ["x", text], **later})
        (found,) = problems(writer(name, batch_size=1).write, rows_of(rows))
        assert (found.code, "'name'" in found.message) == ("DAT015", True)
    assert posts(project, name) == []
    rows = pa.table({"id": pa.array([1, 2], pa.int32()), "name": ["x", "žž"], **later})
    writer(name, batch_size=1).write(rows_of(rows))
    assert len(posts(project, name)) == 2


def test_documents_that_rest_would_change_are_refused(writer, table, project):
    for kind, text in (("json", r'["\u0000"]'), ("jsonb", r'{"a": "b\\\u0000"}')):
        name = table(f"id int, doc {kind}")
        rows = pa.table({"id": pa.array([1, 2], pa.int32()), "doc": pa.array([r'"\\u0000"', text], pa.json_())})
        (found,) = problems(writer(name).write, rows_of(rows))
        assert (found.code, "U+0000" in found.message, "row 2" in found.message) == ("DAT015", True, True), kind
        assert writer(name).write(rows_of(rows.slice(0, 1))).rows == 1
        assert project.rows(f"SELECT doc::text FROM {name}") == [(r'"\\u0000"',)]
    documents = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1,  2]"]))
    lists = pa.table({"docs": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), documents)})
    assert [d.code for d in problems(writer(table("docs json[]")).confirm, rows_of(lists).schema)] == ["DAT029"]
    assert writer(table("docs jsonb[]")).write(rows_of(lists)).rows == 1


def test_a_source_that_fails_has_written_nothing(writer, table, project):
    def batches():
        yield from some(1).batches()
        raise RuntimeError("the source")

    name = table()
    with pytest.raises(RuntimeError, match="the source"):
        writer(name).write(stream(some().schema, batches(), "fixed"))
    assert posts(project, name) == []


def test_a_row_that_the_table_refuses_on_the_way(writer, table, project):
    name = table("id int CHECK (id <> 5), name text")
    (found,) = problems(writer(name, batch_size=2).write, some(*range(1, 9)))
    assert (found.code, "4 rows before" in found.message) == ("DAT035", True)
    assert project.rows(f"SELECT count(*) FROM {name}") == [(4,)]


TEXTS = {"a": ["'1'", "'2'"], "b": ["::1", "no"]}
AMOUNTS = {"a": [D("1.00"), D("2.00")], "b": [D("1.00"), D("1000.00")]}
REFUSED = [
    ("b inet", TEXTS, "row 2: column 'b': it is no value of the column's type (invalid input syntax for type inet: "),
    ("a tsquery, b inet", TEXTS, "row 2: column 'b': it is no value of the column's type ("),
    ("a text, b mood_of_rows", TEXTS, "row 1: column 'b': it is no value of the column's type ("),
    ("b inet[]", {"b": [["::1"], ["::2", "no"]]}, "row 2: column 'b': it is no value of the column's type ("),
    ("a text, b text NOT NULL", {"a": ["1", "2"], "b": ["x", None]}, "column 'b': it must not be NULL ("),
    ("a text, b numeric(5,2)", {**TEXTS, "b": AMOUNTS["b"]}, "column 'b': the number is out of range ("),
    ("a numeric(9,2), b numeric(5,2)", AMOUNTS, "in one of the columns a, b: the number is out of range ("),
    ("b text UNIQUE", {"b": ["x", "x"]}, "a row with the same key is there already ("),
]


@pytest.mark.parametrize(("made", "values", "words"), REFUSED)
@pytest.mark.parametrize("batch", [1, 100])
def test_the_column_that_a_table_refuses_is_named(writer, table, project, made, values, words, batch):
    """The answer names none: it is found by the types of the columns, and by the value in the message."""
    project.run("DO $$ BEGIN CREATE TYPE mood_of_rows AS ENUM ('2'); EXCEPTION WHEN duplicate_object THEN END $$")
    name = table(f"id int, {made}")
    sent = {key: column for key, column in values.items() if f"{key} " in made}
    rows = rows_of(pa.table({"id": pa.array([1, 2], pa.int32()), **sent}))
    (found,) = problems(writer(name, batch_size=batch).write, rows)
    assert (found.code, f"rejects rows: {words}" in found.message) == ("DAT035", True), found.message
    assert len(project.rows(f"SELECT 1 FROM {name}")) == ("1 rows before" in found.message)


MOMENT, FIRST, LAST = map(
    dt.datetime.fromisoformat, ("2024-02-29T23:59:59.250000", "0001-01-01", "9999-12-31T23:59:59.999999")
)
ROUNDED = {
    "numeric(10,1)": ([D("1.25"), None], pa.decimal128(10, 2)),
    "numeric(5,-2)": ([149, 100], pa.int32()),
    "numeric(10,1)[]": ([[D("1.25"), None], []], pa.list_(pa.decimal128(10, 2))),
    "timestamp(0)": ([MOMENT, None], pa.timestamp("us")),
    "timestamptz(1)": ([MOMENT, None], pa.timestamp("us", "UTC")),
    "timestamp(1)[]": ([[MOMENT, None], None], pa.list_(pa.timestamp("us"))),
    "time(0)": ([MOMENT.time(), None], pa.time64("us")),
    "tsvector": (["the fat cat the", None], pa.string()),
    "xml": (['<?xml version="1.0" encoding="UTF-8"?><a/>', "<b/>"], pa.string()),
    "box": (["(0,3),(3,0)", None], pa.string()),
    "int4range[]": ([["[1,5]"], None], pa.list_(pa.string())),
    "interval second(0)": (["PT1.5S", None], pa.string()),
    "interval": (["26 h", None], pa.string()),
    "timetz": (["12:00", None], pa.string()),
}
TEXTS_KEPT = {
    "inet": ["10.0.0.1", "10.0.0.1/32", "::1/128", "10.0.0.1/8"],
    "interval": ["P1DT2H", "1 day 02:00:00", "P-1Y-2M3DT-4H-5M-6.7S", "-1 years -2 mons +3 days -04:05:06.7", "PT0S"],
    "tsvector": ["'cat':3 'fat':2", ""],
    "int4range": ["[1,5)", "empty", "(,)"],
    "tstzrange": ['["2024-01-01 00:00:00+00",)'],
    "timetz": ["23:59:59.999999-15:59:59"],
    "bit(3)": ["101"],
    "macaddr": ["08:00:2b:01:02:ff"],
    "jsonpath": ['$."a"[*]'],
}
KEPT = {
    **{kind: ([*texts, None], pa.string()) for kind, texts in TEXTS_KEPT.items()},
    **{f"{kind}[]": ([[*texts, None], None], pa.list_(pa.string())) for kind, texts in TEXTS_KEPT.items()},
    "numeric(10,1)": ([D("1.20"), None], pa.decimal128(10, 2)),
    "numeric(10,2)": ([D("1.25"), None], pa.decimal128(10, 2)),
    "numeric(12,4)": ([D("1.25"), None], pa.decimal128(10, 2)),
    "numeric": ([D("1.25"), None], pa.decimal128(10, 2)),
    "numeric(5,-2)": ([200, 100], pa.int32()),
    "numeric(10,1)[]": ([[D("1.20"), None], []], pa.list_(pa.decimal128(10, 2))),
    "timestamp(0)": ([MOMENT.replace(microsecond=0), None], pa.timestamp("us")),
    "timestamptz(2)": ([MOMENT, MOMENT], pa.timestamp("ms", "UTC")),
    "timestamp": ([FIRST, LAST], pa.timestamp("us")),
    "time(3)": ([MOMENT.time(), None], pa.time64("us")),
}


def test_tables_that_round_values(writer, table):
    """REST does not give the precision of a column; the returned values show it."""
    for kind, (values, made) in ROUNDED.items():
        rows = pa.table({"id": pa.array([1, 2], pa.int32()), "n": pa.array(values, made)})
        (found,) = problems(writer(table(f"id int, n {kind}")).write, rows_of(rows))
        assert (found.code, "rounds or rewrites values of n" in found.message) == ("DRV026", True), kind
    for kind, (values, made) in KEPT.items():
        count = len(values)
        rows = pa.table({"id": pa.array(range(count), pa.int32()), "n": pa.array(values, made)})
        assert writer(table(f"id int, n {kind}")).write(rows_of(rows)).rows == count, kind


def test_texts_do_not_become_numbers(writer, table):
    for kind, made in (("numeric(5,1)", pa.string()), ("numeric[]", pa.list_(pa.string())), ('"char"', pa.string())):
        rows = pa.table({"n": pa.array([None], made)})
        assert [d.code for d in problems(writer(table(f"n {kind}")).confirm, rows_of(rows).schema)] == ["DAT029"], kind


def test_tables_that_drop_rows(writer, table, project):
    name = table()
    project.run(
        "CREATE OR REPLACE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        f"CREATE TRIGGER gone BEFORE INSERT ON {name} FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION gone()",
    )
    (found,) = problems(writer(name).write, some(1, 2))
    assert (found.code, "given 2 rows and took 1" in found.message) == ("DRV026", True)


NOT_DONE = [lambda f, **k: f.rate_limit(0, **k), lambda f, **k: f.unavailable(**k)]
UNKNOWN = [
    lambda f, **k: f.drop_answer(**k),
    lambda f, **k: f.bad_gateway(**k),
    lambda f, **k: f.close_before_answer(**k),
    lambda f, **k: f.gateway_timeout(**k),
]


@pytest.mark.parametrize("arm", NOT_DONE)
def test_what_was_not_done_is_sent_again(writer, table, project, arm):
    name = table()
    for config in ({}, UPSERT):
        arm(project.faults, method="POST", path=name)
        assert writer(name, **config).write(some(1)).rows == 1
    assert project.rows(f"SELECT count(*) FROM {name}") == [(1,)]


@pytest.mark.parametrize("arm", UNKNOWN)
def test_what_may_have_been_done_is_sent_again_only_if_that_changes_nothing(writer, table, project, arm):
    name = table()
    arm(project.faults, method="POST", path=name)
    assert code_of(writer(name).write, some(1)) in ("CON014", "CON026")
    assert len(posts(project, name)) == 1
    arm(project.faults, method="POST", path=name)
    writer(name, **UPSERT).write(some(1))
    assert len(posts(project, name)) == 3
    assert project.rows(f"SELECT count(*) FROM {name}") == [(1,)]


def test_batches_that_are_too_large_are_halved(writer, table, project):
    name = table()
    project.faults.answer(413, b"<html>", times=2, method="POST", path=name)
    assert writer(name).write(some(*range(8))).rows == 8
    assert [request.rows for request in posts(project, name)] == [0, 0, 2, 2, 4]
    project.faults.answer(413, b"<html>", times=None, method="POST", path=name)
    assert code_of(writer(name).write, some(9)) == "DAT034"


def test_batches_are_small_in_rows_and_in_bytes(writer, table, project):
    name = table()
    wide = pa.table({"id": pa.array(range(6), pa.int32()), "name": ["x" * 400_000] * 6})
    writer(name).write(rows_of(wide))
    assert [request.rows for request in posts(project, name)] == [2, 2, 2]


def test_what_needs_a_database_address(writer, table):
    trial = writer(table())
    for config in ({"write_mode": "replace"}, {"channel": "wire"}):
        assert code_of(trial.changed(config=config).check, some().schema) == "DRV024"
    assert code_of(trial.changed(on_reject="quarantine").confirm, some().schema) == "DRV024"
    lists = schema_of(pa.schema({"id": pa.list_(pa.binary())}))
    assert [d.code for d in problems(trial.check, lists)] == ["CMP012"]
    without = replace(trial, connection={})
    without.changed(config={"write_mode": "replace"}).check(some().schema)


def test_roles_that_may_not(writer, table, project):
    name = table()
    project.run(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    (found,) = problems(writer(name, key=project.anon_key).write, some(1))
    assert (found.code, "'anon'" in found.message) == ("DRV020", True)
    assert code_of(writer(name, key="c4nary").write, some(1)) == "CON024"


def test_keys_that_are_not_told_the_columns_do_not_write(postgres, database, table, writer):
    name = table()
    with start_postgrest(postgres.fields(database)) as closed:
        trial = replace(writer(name), connection={"url": closed.url, "key": Secret(closed.anon_key)})
        assert code_of(trial.write, some(1)) == "DRV023"


def test_a_column_that_the_server_computes(writer, table):
    name = table("id int, name text GENERATED ALWAYS AS (id::text) STORED")
    (found,) = problems(writer(name).write, some(1))
    assert (found.code, found.hint) == ("DAT029", "leave the column out of the rows")
    assert "its column 'name' is computed by the server" in found.message


def test_a_schema_cache_that_is_behind(writer, table, project):
    name = table()
    project.faults.stale_schema()
    project.run(f"ALTER TABLE {name} RENAME name TO other")
    assert [d.code for d in problems(writer(name).write, some(1))] == ["DAT029"]
