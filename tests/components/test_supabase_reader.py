"""Supabase over REST: rows read in pages, each once and exactly, and every rejection with its code and remedy."""

import socket
import threading
import time

import pytest
from tests.patience import SOON, once
from tests.servers import start_postgrest

from osiris.errors import OsirisError
from osiris.registry import load_registry
from osiris.secret import Secret
from osiris.testing.trial import Trial, table_of

REGISTRY = load_registry()
ORDERS = """
CREATE TABLE orders (id int PRIMARY KEY, state text, amount numeric(12,2), at timestamptz);
INSERT INTO orders SELECT n, CASE n % 3 WHEN 0 THEN 'a,"b"' WHEN 1 THEN 'paid' END, n + 0.10,
    '2024-01-01T00:00:00Z'::timestamptz + n * interval '1 minute' FROM generate_series(1, 95) n"""
EVERY_TYPE = r"""
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE every (id bigint PRIMARY KEY, i2 smallint, i4 int, b bool, f4 real, f8 float8, t text, v varchar(9),
    c char(3), raw bytea, d date, tm time, ts timestamp, tz timestamptz, u uuid, j json, jb jsonb, m mood, ip inet,
    r int4range, x xml, bits varbit, li bigint[], lt text[], lu uuid[], ld date[], lf float8[], lb bool[]);
INSERT INTO every VALUES
 (9223372036854775807, -32768, 2147483647, true, 0.1, 5e-324, 'a"b\c''ž', 'x', 'y', '\x00ff', '0001-01-01',
  '23:59:59.999999', '9999-12-31 23:59:59.999999', '2024-02-29 12:00:00.000001+02', gen_random_uuid(),
  '{"a":  1.00, "a": 2}', '{"b": 12345678901234567890.10}', 'ok', '10.0.0.0/8', '[1,5)', '<a>1</a>', '101',
  '{9007199254740993,NULL}', '{a,NULL,"x,y"}', ARRAY[gen_random_uuid()], '{2024-01-01}',
  '{0.1,NaN,Infinity}', '{t,f}'),
 (-9223372036854775808, 1, 1, false, 'NaN', '-Infinity', '', '', '', '', '9999-12-31', '00:00', '0001-01-01',
  '1970-01-01Z', gen_random_uuid(), 'null', '[]', 'sad', '::1', 'empty', '', '', '{}', '{}', '{}', '{}', '{}', '{}'),
 (0, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL, NULL, NULL, NULL, NULL, NULL)"""


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.new_database()


@pytest.fixture(scope="module")
def project(postgres, database):
    with start_postgrest(postgres.fields(database), max_rows=10) as server:
        server.run(ORDERS)
        yield server


@pytest.fixture
def small(project):
    """A project whose answers have at most 10 rows."""
    yield project
    project.faults.clear()


@pytest.fixture
def reader(tmp_path):
    """`reader(server, table="t", …)` returns the step; `key` and `fields` are of its connection."""

    def make(server, key=None, fields=None, **config):
        connection = {"url": server.url, "key": Secret(key or server.service_key), **(fields or {})}
        return Trial(REGISTRY, "supabase.extractor", tmp_path, {"table": "orders", **config}, connection)

    return make


@pytest.fixture
def wired(postgres, database):
    """The same step with the database's address, as `wired(trial)`."""

    def make(trial):
        fields = postgres.fields(database)
        config = {key: value for key, value in trial.config.items() if key not in ("dtype", "primary_key")}
        return Trial(REGISTRY, trial.name, trial.root, config, {**fields, "password": Secret(fields["password"])})

    return make


def problems(call, *args):
    with pytest.raises(OsirisError) as caught:
        call(*args)
    return list(caught.value.diagnostics)


def code_of(call, *args):
    (found,) = problems(call, *args)
    assert found.hint
    return found.code


def rows(trial):
    return table_of(trial.read()).to_pylist()


def ids(trial):
    return [row["id"] for row in rows(trial)]


DTYPE = {"amount": "decimal(12,2)"}


def test_pages_follow_each_other_by_the_key(small, reader, wired):
    trial, before = reader(small, dtype=DTYPE), len(small.requests)
    described = trial.describe()
    assert (described.order, [column.type for column in described.schema]) == (
        "fixed",
        ["int32", "utf8", "decimal(12,2)", "timestamp[us,UTC]"],
    )
    assert table_of(trial.read()).equals(table_of(wired(trial).changed(config={"unscaled": "refuse"}).read()))
    assert trial.counts["rows_read"] == 95
    pages = [r for r in small.requests[before:] if r.path.endswith("/orders") and "limit=10000" in r.query]
    assert len(pages) == 11
    assert trial.emitted == []


def test_a_key_of_several_columns_with_anything_in_them(small, reader):
    values = ", ".join(
        f"('{text}', {n})" for text in ("", 'a"', "b,c", "(d)", "e\\", "NULL", "ž. x", "''") for n in range(4)
    )
    small.run(
        'CREATE TABLE "odd t" ("k, 1" text, "k.2" int, PRIMARY KEY ("k, 1", "k.2"))',
        f'INSERT INTO "odd t" VALUES {values}',
    )
    found = table_of(reader(small, table="odd t", columns=["k.2", "k, 1"], batch_size=3).read())
    assert found.num_rows == len({tuple(row.values()) for row in found.to_pylist()}) == 32
    assert found.column_names == ["k.2", "k, 1"]


def test_every_type_is_as_over_the_wire(small, reader, wired):
    small.run(EVERY_TYPE)
    trial = reader(small, table="every")
    over_rest, over_wire = (table_of(each.read()).sort_by("id") for each in (trial, wired(trial)))
    assert over_rest.schema == over_wire.schema
    for name in over_rest.column_names:
        assert repr(over_rest[name].to_pylist()) == repr(over_wire[name].to_pylist()), name


def test_numbers_whose_digits_nobody_tells(small, reader):
    trial = reader(small)
    assert [(d.code, "amount" in d.message, "dtype" in d.hint) for d in problems(trial.describe)] == [
        ("DAT006", True, True)
    ]
    assert rows(trial.changed(config={"unscaled": "text", "limit": 1}))[0]["amount"] == "1.10"
    small.run(
        "CREATE TABLE big (id int PRIMARY KEY, n numeric)", "INSERT INTO big VALUES (1, 12345678901234567890.123456789)"
    )
    wide = trial.changed(config={"table": "big", "dtype": {"n": "decimal(38,9)"}})
    assert str(rows(wide)[0]["n"]) == "12345678901234567890.123456789"
    narrow = trial.changed(config={"table": "big", "dtype": {"n": "decimal(38,8)"}})
    (found,) = problems(rows, narrow)
    assert (found.code, "row 1" in found.message) == ("DAT031", True)


@pytest.mark.parametrize(
    ("table", "values", "found"),
    [
        ("d date", "('infinity')", "DAT031"),
        ("d timestamp", "('0044-03-15 BC')", "DAT031"),
        ("d money", "(1)", "DAT006"),
        ("d json[]", "('{}')", "DAT006"),
        ("d point", "('(1,2)')", None),
    ],
)
def test_values_and_types_that_are_not_carried(small, reader, table, values, found):
    small.run(f"DROP TABLE IF EXISTS v; CREATE TABLE v (id serial PRIMARY KEY, {table})")
    small.run(f"INSERT INTO v (d) VALUES {values}")
    trial = reader(small, table="v")
    if found is None:
        assert rows(trial) == [{"id": 1, "d": "(1,2)"}]
    else:
        assert [d.code for d in problems(rows, trial)] == [found]


def test_tables_without_a_key(small, reader):
    small.run("CREATE TABLE loose (a int, b int)", "INSERT INTO loose SELECT n, n / 2 FROM generate_series(1, 9) n")
    trial = reader(small, table="loose")
    assert (trial.describe().order, len(rows(trial))) == ("free", 9)
    small.run("INSERT INTO loose SELECT n, n / 2 FROM generate_series(10, 30) n")
    assert code_of(rows, trial) == "DRV025"
    assert [row["a"] for row in rows(trial.changed(config={"primary_key": "a"}))] == list(range(1, 31))
    assert code_of(rows, trial.changed(config={"primary_key": ["b"], "batch_size": 4})) == "DRV026"
    small.run("INSERT INTO loose VALUES (NULL, 1)")
    assert code_of(rows, trial.changed(config={"primary_key": ["a"]})) == "DRV026"
    assert code_of(rows, trial.changed(config={"primary_key": ["a"], "offset": 25})) == "DRV025"
    small.run("CREATE VIEW few AS SELECT a FROM loose WHERE a < 5")
    assert len(rows(reader(small, table="few"))) == 4


FILTERS = [
    {"state": "eq.paid"}, {"state": "not.eq.paid"}, {"state": "is.null"}, {"state": "not.is.null"},
    {"id": "gt.90"}, {"id": "in.(1,2,95,999)"}, {"state": 'in.("a,\\"b\\"",paid)'}, {"state": "like.p*d"},
    {"state": "ilike.PAID", "id": "lte.9"},
    {"at": "gte.2024-01-01T01:30:00Z"}, {"state": 'eq.a,"b"'}, {"amount": "lt.3.10"},
    {"id": "neq.1", "state": "neq.paid"},
]  # fmt: skip


@pytest.mark.parametrize("chosen", FILTERS)
def test_filters_mean_the_same_over_rest_and_wire(small, reader, wired, chosen):
    trial = reader(small, filter=chosen, columns=["id"])
    assert ids(trial) == sorted(ids(wired(trial)))
    assert 0 < len(ids(trial)) < 95


def test_limits_offsets_and_orders(small, reader, wired):
    trial = reader(small, columns="id, state")
    assert ids(trial.changed(config={"limit": 23, "offset": 80})) == list(range(81, 96))
    assert ids(trial.changed(config={"limit": 13, "offset": 5})) == list(range(6, 19))
    newest = trial.changed(config={"order": "at.desc", "limit": 7})
    assert ids(newest) == ids(wired(newest)) == list(range(95, 88, -1))
    by_state = trial.changed(config={"order": 'state.desc.nullslast,"id".desc', "limit": 3})
    assert ids(by_state) == ids(wired(by_state)) == [94, 91, 88]
    assert code_of(rows, trial.changed(config={"order": "at.desc"})) == "DRV025"
    assert ids(trial.changed(config={"columns": "*", "unscaled": "text", "limit": 1})) == [1]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"filter": {"state": "paid"}}, "OML046"), ({"filter": {"state": "fts.x"}}, "OML046"),
        ({"filter": {"id": "in.()"}}, "OML046"), ({"order": "id.up"}, "OML047"),
        ({"filter": {"stat": "eq.1"}}, "DAT005"), ({"columns": ["idd"]}, "DAT005"),
        ({"primary_key": "no"}, "DAT005"), ({"dtype": {"amount": "decimal"}}, "DAT012"),
        ({"dtype": {"amount": "list<json>"}}, "DAT006"),
        ({"table": "oders"}, "DRV012"), ({"schema": "hidden"}, "DRV012"), ({"schema": "ž"}, "DRV024"),
        ({"query": "SELECT 1"}, "DRV024"),
        ({"filter": {"id": "eq.x"}, "columns": ["id"]}, "DRV013"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(small, reader, config, expected):
    assert [d.code for d in problems(rows, reader(small, **{"unscaled": "text", **config}))] == [expected]


def test_keys_that_are_not_told_the_columns(small, reader):
    for key in (small.anon_key, small.publishable_key):
        trial = reader(small, key=key)
        assert code_of(trial.describe) == "DRV023"
        assert code_of(trial.changed(config={"table": "nothing"}).describe) == "DRV012"
        known = trial.changed(
            config={"dtype": {"id": "int32", "state": "utf8", "amount": "decimal(12,2)"}, "primary_key": "id"}
        )
        assert ids(known) == list(range(1, 96))
    assert ids(reader(small, key=small.secret_key, columns=["id"])) == list(range(1, 96))


def test_rows_that_are_hidden_and_tables_that_are_closed(small, reader):
    small.run(
        "CREATE TABLE hidden (id int PRIMARY KEY)", "INSERT INTO hidden VALUES (1)", "CREATE TABLE closed (id int)"
    )
    small.run("ALTER TABLE hidden ENABLE ROW LEVEL SECURITY", "REVOKE ALL ON closed FROM anon")
    trial = reader(small, key=small.anon_key, table="hidden", dtype={"id": "int32"}, primary_key="id")
    assert rows(trial) == []
    (found,) = problems(rows, trial.changed(config={"table": "closed"}))
    assert (found.code, "'anon'" in found.message) == ("DRV020", True)


def test_a_key_that_is_wrong(small, reader):
    canary = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c4nary"
    for key in (canary, "sb_secret_c4nary0000000000000000_00000000", "c4nary"):
        (found,) = problems(reader(small, key=key).describe)
        assert found.code == "CON024"
        assert "c4nary" not in str(found) + str(found.hint)
    expired = small.keys.token(role="service_role", exp=1)
    assert code_of(reader(small, key=expired).describe) == "CON024"


FAULTS = [
    (lambda f, n: f.rate_limit(0, times=n), "CON025"), (lambda f, n: f.unavailable(times=n), "CON026"),
    (lambda f, n: f.bad_gateway(times=n), "CON026"), (lambda f, n: f.gateway_timeout(times=n), "CON026"),
    (lambda f, n: f.close_before_answer(times=n), "CON014"), (lambda f, n: f.cut_body(times=n), "CON014"),
    (lambda f, n: f.drop_answer(times=n), "CON014"),
]  # fmt: skip


@pytest.mark.parametrize(("arm", "expected"), FAULTS)
def test_what_passes_is_tried_again_and_what_stays_is_said(small, reader, arm, expected):
    trial = reader(small, columns=["id"], retries=1)
    source = trial.read()
    arm(small.faults, 1)
    assert table_of(source).num_rows == 95
    arm(small.faults, None)
    assert code_of(trial.describe) == expected


def test_answers_that_are_none(small, reader):
    trial = reader(small, columns=["id"], retries=0)
    small.faults.not_json()
    assert code_of(trial.describe) == "CON027"
    for status, body in ((200, b"{}"), (302, b""), (404, b"<html>"), (200, b'[{"id": 1}]')):
        small.faults.answer(status, body)
        assert code_of(trial.describe) in ("CON027", "DRV023"), status
    small.faults.rate_limit(3600)
    (found,) = problems(trial.changed(config={"retries": 3}).describe)
    assert (found.code, "3600 s" in found.message) == ("CON025", True)


def test_servers_that_are_not_there_or_silent(small, reader):
    began = time.monotonic()
    small.faults.hang(times=None)
    assert code_of(reader(small, fields={"read_timeout": 0.5}).describe) == "CON015"
    small.faults.clear()
    assert code_of(reader(small, fields={"url": "http://127.0.0.1:1"}, retries=0).describe) == "CON011"
    assert code_of(reader(small, fields={"url": "http://no-such-host.invalid"}, retries=0).describe) == "CON073"
    assert code_of(reader(small, fields={"url": small.url.replace("http:", "https:")}, retries=0).describe) == "CON017"
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        fields = {"url": f"http://127.0.0.1:{address[1]}", "connect_timeout": 0.5}
        assert code_of(reader(small, fields=fields, retries=0).describe) == "CON015"
        for each in waiting:
            each.close()
    assert time.monotonic() - began < SOON


def test_a_step_that_is_cancelled_while_it_waits(small, reader):
    asked, before = threading.Event(), len(small.requests)
    small.faults.hang(times=None)
    trial = reader(small).changed(cancelled=asked.is_set)
    once(lambda: len(small.requests) > before, asked.set)
    began = time.monotonic()
    assert [d.code for d in problems(trial.describe)] == ["RUN003"]
    assert time.monotonic() - began < SOON
    small.faults.clear()
    small.faults.rate_limit(30, times=None)
    assert [d.code for d in problems(trial.describe)] == ["RUN003"]


def test_rows_that_come_and_go_while_it_reads(small, reader):
    small.run("CREATE TABLE moving AS TABLE orders", "ALTER TABLE moving ADD PRIMARY KEY (id)")
    trial = reader(small, table="moving", columns=["id"])
    pages = trial.read().batches()
    next(pages)
    small.run("DELETE FROM moving WHERE id IN (3, 50)", "INSERT INTO moving VALUES (200)")
    rest = [value for page in pages for value in page["id"].to_pylist()]
    assert rest == [*(n for n in range(11, 96) if n != 50), 200]
    assert trial.emitted == [("source_moved", {"rows_before": 95, "rows_after": 94, "rows_read": 95})]


def test_large_rows_come_in_smaller_pages(postgres, database, reader):
    """An answer may use a part of the step's memory, here 1 MB."""
    with start_postgrest(postgres.fields(database), max_rows=None) as server:
        server.run("CREATE TABLE wide (id int PRIMARY KEY, t text)")
        server.run("INSERT INTO wide SELECT n, repeat(chr(64 + n), 200000) FROM generate_series(1, 20) n")
        trial = reader(server, table="wide").changed(memory=32 << 20)
        pages = list(trial.read().batches())
        assert [value for page in pages for value in page["t"].to_pylist()] == [
            chr(64 + n) * 200_000 for n in range(1, 21)
        ]
        assert 4 <= len(pages) <= 20
        server.run("INSERT INTO wide VALUES (41, repeat('x', 2000000))")
        assert code_of(rows, trial) == "DAT034"


def test_a_source_that_changed_since_the_plan(small, reader):
    small.faults.gzip = True
    small.run("CREATE TABLE altered AS TABLE orders", "ALTER TABLE altered ADD PRIMARY KEY (id)")
    trial = reader(small, table="altered", dtype=DTYPE)
    schema = trial.describe().schema
    assert trial.confirm(schema) is None
    small.run("ALTER TABLE altered ALTER state TYPE int USING 1")
    assert code_of(trial.confirm, schema) == "DAT011"
    assert code_of(lambda: table_of(trial.read(schema))) == "DAT011"


def test_what_rest_spells_otherwise_is_as_over_the_wire(small, reader, wired):
    small.run(
        """CREATE TABLE spelled (id int PRIMARY KEY, f8 float8, f4 real, lf float8[], i int, iv interval, li interval[],
            ip inet[])""",
        """INSERT INTO spelled VALUES (1, '-0', '-0', '{-0,0,1}', 0, '-1 mon +2 days', '{1 year,NULL}',
            '{10.0.0.1,::1}'), (2, 0, 0, '{-0}', -0, '25:00:00.5', '{}', '{10.0.0.0/8}')""",
    )
    trial = reader(small, table="spelled")
    found = table_of(trial.read())
    assert found.equals(table_of(wired(trial).changed(config={"unscaled": "refuse"}).read()))
    assert [repr(value) for value in found["f8"].to_pylist()] == ["-0.0", "0.0"]


def test_intervals_in_another_style_are_refused(small, reader):
    small.run("CREATE TABLE styled (id int PRIMARY KEY, iv interval)", "INSERT INTO styled VALUES (1, '-1 day 2:3:4')")
    database = small.rows("SELECT current_database()")[0][0]
    small.run(f"ALTER DATABASE \"{database}\" SET intervalstyle = 'sql_standard'")
    try:
        with start_postgrest(small.conninfo) as other:
            (found,) = problems(rows, reader(other, table="styled"))
    finally:
        small.run(f'ALTER DATABASE "{database}" RESET intervalstyle')
    assert (found.code, "'iv', row 1:" in found.message, "intervalstyle" in found.message) == ("DAT031", True, True)
