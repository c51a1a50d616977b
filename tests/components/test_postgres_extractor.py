"""PostgreSQL databases: every type is read as the server has it, in one snapshot, and rejections use our messages."""

import datetime as dt
import decimal
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from tests.patience import SOON, once
from tests.servers import start_postgres

from osiris.components.postgres_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.postgres.decode import copied
from osiris.families.postgres.session import reading
from osiris.secret import Secret

CANARY = "no-such-passw0rd'%@ é"


@pytest.fixture(scope="module")
def database(postgres):
    """The name of a database for this module, on a server with settings that are different from ours."""
    name = postgres.new_database()
    unusual = {
        "timezone": "'Asia/Kathmandu'",
        "datestyle": "'German, DMY'",
        "intervalstyle": "sql_standard",
        "extra_float_digits": "-5",
        "bytea_output": "escape",
        "standard_conforming_strings": "off",
        "search_path": "nowhere",
    }
    postgres.run(*(f'ALTER DATABASE "{name}" SET {key} = {value}' for key, value in unusual.items()))
    return name


@pytest.fixture
def run_sql(postgres, database):
    """`run_sql(*statements)` changes the database from outside, in the schema `public`."""

    def call(*statements):
        postgres.run("SET search_path = public", *statements, database=database)

    return call


@pytest.fixture
def place(tmp_path, postgres, database):
    """`place(password="x")` returns the context of a step whose connection has these fields; counts are kept."""

    def make(reader=False, cancelled=lambda: False, **fields):
        given = {**postgres.fields(database, reader=reader), **fields}
        given = {name: Secret(v) if name in ("password", "dsn") else v for name, v in given.items() if v is not None}
        count = lambda name, value: make.counts.update({name: value})  # noqa: E731
        context = StepContext("load", tmp_path, tmp_path, tmp_path, connection=given, count=count)
        return replace(context, cancelled=cancelled)

    make.counts = Counter()
    return make


@pytest.fixture
def read(place):
    """`read(table="t")` returns the table that the extractor reads, with the described schema."""

    def call(ctx=None, **config):
        ctx = ctx or place()
        described = Driver().describe(Config(**config), ctx)
        return Driver().read(Config(**config), described.schema, ctx).reader().read_all()

    return call


def problems(call, *args, **named):
    with pytest.raises(OsirisError) as caught:
        call(*args, **named)
    return list(caught.value.diagnostics)


def code_of(call, *args, **named):
    return [found.code for found in problems(call, *args, **named)]


BIG = decimal.Decimal("9" * 30 + "." + "9" * 8)
TYPES = [
    # declared type, our type, values as SQL; psycopg's result is the expected one
    ("boolean", "bool", "true", "false"),
    ("smallint", "int16", "-32768", "32767", "0"),
    ("integer", "int32", "-2147483648", "2147483647"),
    ("bigint", "int64", "-9223372036854775808", "9223372036854775807"),
    ("oid", "uint32", "4294967295", "0"),
    ("real", "float32", "'-Infinity'", "3.4e38", "1e-45", "'-0'"),
    ("double precision", "float64", "'Infinity'", "1e308", "5e-324", "0.1", "'-0'"),
    ("numeric(15,2)", "decimal(15,2)", "9999999999999.99", "-9999999999999.99", "0", "0.01", "-0.1", "10000", "1234.5"),
    ("numeric(4,4)", "decimal(4,4)", "0.9999", "-0.0001", "0.01", "0"),
    ("numeric(18,3)", "decimal(18,3)", "999999999999999.999", "100000000000000", "0.001", "-12345678.9"),
    ("numeric(18,0)", "decimal(18,0)", "999999999999999999", "-1", "10000", "100000000"),
    ("numeric(38,8)", "decimal(38,8)", str(BIG), f"-{BIG}", "0.00000001", "1e29", "0"),
    ("numeric(76,30)", "decimal(76,30)", "1e45", "-1e-30", "12345678901234567890.123456789", "0"),
    ("numeric(3,-2)", "decimal(5,0)", "99900", "-100", "0"),
    ("numeric(2,5)", "decimal(5,5)", "0.00099", "-0.00001"),
    ("text", "utf8", "''", "'NULL'", "E'a\\tb\\nc\\rd\\\\e\"f'", "'žluť 😀 d'", "repeat('d', 70000)"),
    ("varchar(10)", "utf8", "'dddd'", "''"),
    ("char(5)", "utf8", "'a'", "'abcde'"),
    ("name", "utf8", "'a name'", "''"),
    ('"char"', "utf8", "'a'"),
    ("bytea", "binary", "''", "'\\x00ff64000000'", "decode(repeat('64', 70000), 'hex')"),
    ("date", "date", "'0001-01-01'", "'9999-12-31'", "'1970-01-01'", "'2000-02-29'"),
    ("time", "time[us]", "'00:00'", "'23:59:59.999999'"),
    ("timestamp", "timestamp[us]", "'0001-01-01'", "'9999-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.999999'"),
    ("timestamptz", "timestamp[us,UTC]", "'2024-03-31 02:30:00 Europe/Prague'", "'1800-01-01 00:00:00+00'"),
    ("uuid", "uuid", "'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    ("json", "json", '\'{"b": 1, "a":  [1.0, null]}\'', "'null'"),
    ("jsonb", "json", '\'{"b": 1, "a": [1.0, null]}\'', "'\"ž\"'"),
    ("interval", "utf8", "'1 year 2 mons -3 days 04:05:06.789'", "'0'"),
    ("timetz", "utf8", "'24:00:00+05:45'"),
    ("inet", "utf8", "'192.168.0.1/24'", "'::1'"),
    ("cidr", "utf8", "'10.0.0.0/8'"),
    ("macaddr", "utf8", "'08:00:2b:01:02:03'"),
    ("bit(8)", "utf8", "B'10100101'"),
    ("varbit", "utf8", "B''", "B'1'"),
    ("xml", "utf8", "'<a>ž</a>'"),
    ("point", "utf8", "'(0.1,2)'"),
    ("tsvector", "utf8", "'a:1 b:2'"),
    ("int4range", "utf8", "'[1,5)'", "'empty'", "'(,)'"),
    ("tstzrange", "utf8", "'[2024-01-01 00:00+00,)'"),
    ("datemultirange", "utf8", "'{[2024-01-01,2024-02-01)}'"),
    ("mood", "utf8", "'so so'", "'žádný'"),
    ("positive", "int32", "1"),
    ("email", "utf8", "'a@b'"),
    ("integer[]", "list<int32>", "'{}'", "'{1,NULL,-3}'", "'{1,2,3}'"),
    ("bigint[]", "list<int64>", "'{9223372036854775807}'", "'{}'"),
    ("text[]", "list<utf8>", "ARRAY['', 'NULL', NULL, E'a\"b\\\\c', 'd']", "'{}'"),
    ("numeric(10,3)[]", "list<decimal(10,3)>", "'{1.5,NULL,-0.001}'"),
    ("date[]", "list<date>", "'{2024-01-01}'"),
    ("timestamptz[]", "list<timestamp[us,UTC]>", "'{2024-01-01 00:00+00}'"),
    ("uuid[]", "list<uuid>", "'{00000000-0000-0000-0000-000000000001}'"),
    ("boolean[]", "list<bool>", "'{t,f,NULL}'", "'{t}'"),
    ("mood[]", "list<utf8>", "ARRAY['so so', NULL]::mood[]"),
    ("inet[]", "list<utf8>", "'{10.0.0.1}'"),
    ("jsonb[]", "list<json>", "ARRAY['{\"a\": 1}']::jsonb[]"),
]
SPELLED = {  # types that psycopg reads as something else: the text that the server has of them
    *("interval", "timetz", "inet", "cidr", "macaddr", "bit(8)", "varbit", "xml", "point", "tsvector", "json", "jsonb"),
    *("int4range", "tstzrange", "datemultirange", "mood", "oid", "real"),
}
SPELLED_LISTS = {"inet[]", "mood[]", "jsonb[]"}


@pytest.fixture(scope="module")
def typed(postgres, database):
    """The table `typed`: one column per type, with values and NULLs before, between and after them."""
    longest = max(len(values) for _, _, *values in TYPES)
    postgres.run(
        "SET search_path = public",
        "SET standard_conforming_strings = on",
        "CREATE TYPE mood AS ENUM ('so so', 'žádný')",
        "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
        "CREATE DOMAIN email AS varchar(40)",
        f"CREATE TABLE typed (n integer NOT NULL, {', '.join(f'c{i} {kind}' for i, (kind, *_) in enumerate(TYPES))})",
        *(
            f"INSERT INTO typed VALUES ({row}, {', '.join(_cell(values, row) for _, _, *values in TYPES)})"
            for row in range(2 * longest + 1)
        ),
        database=database,
    )


def _cell(values, row):
    return values[row // 2] if row % 2 and row // 2 < len(values) else "NULL"


def expected(connection, kind, column):
    """Return what psycopg reads, as Arrow would convert it to Python."""
    text = f"{column}::text" if kind in SPELLED - {"oid", "real"} else column
    text = f"{column}::text[]" if kind in SPELLED_LISTS else text
    values = [value for (value,) in connection.execute(f"SELECT {text} FROM typed ORDER BY n").fetchall()]
    return pa.array(values, pa.float32()).to_pylist() if kind == "real" else values


def test_every_type_comes_back_as_psycopg_reads_it(read, postgres, database, typed, tmp_path):
    found = read(table="typed")
    parquet.write_table(found, tmp_path / "typed.parquet")
    again = parquet.read_table(tmp_path / "typed.parquet")
    with postgres.connect(database) as client:
        client.execute("SET search_path = public")
        client.execute("SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = iso_8601")
        client.execute("SET extra_float_digits = 3")
        for index, (kind, _, *_) in enumerate(TYPES):
            column = f"c{index}"
            told = repr(found[column].to_pylist()).replace("zoneinfo.ZoneInfo(key='UTC')", "datetime.timezone.utc")
            assert told == repr(expected(client, kind, column)), kind
            assert found[column].to_pylist() == again[column].to_pylist(), kind
    assert found.num_rows == again.num_rows


def test_types_are_those_of_the_server(place, typed):
    schema = Driver().describe(Config(table="typed"), place()).schema
    assert [(field.name, field.type) for field in schema[1:]] == [(f"c{i}", t) for i, (_, t, *_) in enumerate(TYPES)]
    assert [field.nullable for field in schema] == [False] + [True] * len(TYPES)


REFUSED = [
    ("numeric", "nothing says how many digits"),
    ("numeric[]", "nothing says how many digits"),
    ("money", "settings"),
    ("numeric(77,0)", "at most 76 digits"),
    ("pair", "a row of its own"),
    ("positive[]", "no plain values"),
    ("regclass", "no exact form"),
]


def test_columns_that_cannot_be_carried_are_refused_by_name_all_at_once(run_sql, place):
    run_sql("DROP TABLE IF EXISTS refused CASCADE; DROP TYPE IF EXISTS pair; DROP DOMAIN IF EXISTS positive2")
    run_sql("CREATE TYPE pair AS (a int, b int)", "CREATE DOMAIN positive2 AS integer")
    kinds = [kind.replace("positive", "positive2") for kind, _ in REFUSED]
    run_sql(f"CREATE TABLE refused ({', '.join(f'c{i} {kind}' for i, kind in enumerate(kinds))})")
    found = problems(Driver().describe, Config(table="refused"), place())
    assert [item.code for item in found] == ["DAT006"] * len(REFUSED)
    for (_, reason), item in zip(REFUSED, sorted(found, key=lambda item: item.message), strict=True):
        assert reason in item.message
        assert item.hint


def test_numbers_without_a_scale_come_as_text_where_that_is_asked_for(run_sql, read):
    run_sql("DROP TABLE IF EXISTS loose", "CREATE TABLE loose (a numeric, b numeric[])")
    run_sql("INSERT INTO loose VALUES (0.1000000000000000000000001, '{1,NaN}'), ('NaN', '{}'), ('-Infinity', NULL)")
    found = read(table="loose", unscaled="text")
    assert found["a"].to_pylist() == ["0.1000000000000000000000001", "NaN", "-Infinity"]
    assert found["b"].to_pylist() == [["1", "NaN"], [], None]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("date", "'infinity'", "infinity"),
        ("date", "'-infinity'", "-infinity"),
        ("date", "'0044-03-15 BC'", "before the year 1"),
        ("date", "'10000-01-01'", "after the year 9999"),
        ("timestamp", "'infinity'", "infinity"),
        ("timestamptz", "'-infinity'", "-infinity"),
        ("timestamptz", "'0001-12-31 23:59:59+00 BC'", "before the year 1"),
        ("timestamp", "'10000-01-01'", "after the year 9999"),
        ("time", "'24:00'", "24:00:00"),
        ("numeric(10,2)", "'NaN'", "NaN"),
        ("date[]", "'{2024-01-01,infinity}'", "infinity"),
        ("int[]", "'{{1,2},{3,4}}'", "2 dimensions"),
        ("int[]", "'[0:1]={1,2}'", "does not begin at 1"),
    ],
)
def test_values_that_cannot_be_carried_are_told_with_column_and_row(run_sql, read, kind, value, shown):
    run_sql("DROP TABLE IF EXISTS misfits", f"CREATE TABLE misfits (n int, v {kind})")
    run_sql(
        "INSERT INTO misfits SELECT n, NULL FROM generate_series(1, 4) n", f"INSERT INTO misfits VALUES (5, {value})"
    )
    [found] = problems(read, table="misfits")
    assert found.code == "DAT031"
    assert "column 'v', row 5" in found.message
    assert shown in found.message


def test_names_with_quotes_and_words_of_sql(run_sql, read):
    run_sql('DROP SCHEMA IF EXISTS "s""q" CASCADE', 'CREATE SCHEMA "s""q"')
    run_sql("""CREATE TABLE "s""q"."x""; DROP TABLE t; --%s" ("a""b" int, "select" int, "a'b;--" int, "žluť.%" int)""")
    run_sql("""INSERT INTO "s""q"."x""; DROP TABLE t; --%s" VALUES (1, 2, 3, 4)""")
    found = read(table='x"; DROP TABLE t; --%s', schema='s"q')
    assert found.to_pylist() == [{'a"b': 1, "select": 2, "a'b;--": 3, "žluť.%": 4}]
    assert read(query="""SELECT "a""b" + 1 AS "%s" FROM "x""; DROP TABLE t; --%s" """, schema='s"q').to_pylist() == [
        {"%s": 2}
    ]


def test_an_empty_table_a_view_and_chosen_columns(run_sql, read, place):
    run_sql("DROP TABLE IF EXISTS few CASCADE", "CREATE TABLE few (a int, b text, c date)")
    assert read(table="few").num_rows == 0
    run_sql(
        "INSERT INTO few SELECT n, 'x' || n FROM generate_series(1, 10) n", "CREATE VIEW seen AS SELECT b, a FROM few"
    )
    assert read(table="few", columns=["b", "a"], limit=2, offset=1).to_pylist() == [
        {"b": "x2", "a": 2},
        {"b": "x3", "a": 3},
    ]
    assert read(table="seen").column_names == ["b", "a"]
    orders = [Driver().describe(Config(table=name), place()).order for name in ("few", "seen")]
    assert orders == ["fixed", "free"]
    assert place.counts["rows_read"] == 12


def test_queries_are_checked_described_and_given_a_total_order(run_sql, read, place):
    run_sql("DROP TABLE IF EXISTS sold", "CREATE TABLE sold (day date, region text, amount numeric(10,2), note json)")
    run_sql("INSERT INTO sold SELECT '2024-01-01'::date + n % 3, 'r' || n % 2, n, '{}' FROM generate_series(1, 12) n")
    text = "SELECT region, CAST(SUM(amount) AS NUMERIC(12, 2)) AS total FROM sold GROUP BY region ORDER BY region"
    assert read(query=text).to_pylist() == [
        {"region": "r0", "total": decimal.Decimal("42.00")},
        {"region": "r1", "total": decimal.Decimal("36.00")},
    ]
    ties = "SELECT day, amount FROM public.sold ORDER BY day"
    assert [row["amount"] for row in read(query=ties).to_pylist()[:4]] == [3, 6, 9, 12]
    orders = [
        Driver().describe(Config(query=query), place()).order
        for query in (ties, "SELECT day FROM sold", "SELECT day, note FROM sold ORDER BY day")
    ]
    assert orders == ["fixed", "free", "free"]


def test_values_of_a_run_are_put_in_as_values(run_sql, read, place):
    run_sql("DROP TABLE IF EXISTS bound", "CREATE TABLE bound (a text, b timestamptz)")
    run_sql("INSERT INTO bound VALUES (E'x\\\\'' OR true --', '2024-01-01'), ('y', '2025-01-01')")
    bindings = {"param_who": Secret("x\\' OR true --"), "run_started_at": dt.datetime(2024, 6, 1, tzinfo=dt.UTC)}
    ctx = replace(place(), bindings=bindings)
    query = "SELECT b, '$param_who' AS c FROM bound WHERE a = $param_who AND b < $run_started_at"
    assert [row["c"] for row in read(ctx, query=query).to_pylist()] == ["$param_who"]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"table": "fewe"}, "DRV012"),
        ({"table": "few", "schema": "publik"}, "DRV012"),
        ({"table": "few", "columns": ["a", "bb"]}, "DAT005"),
        ({"query": "SELECT nothing FROM few"}, "SQL009"),
        ({"query": "SELECT a FROM fewe"}, "SQL006"),
        ({"query": "SELECT a, a FROM few"}, "SQL009"),
        ({"query": "SELECT pg_sleep(1) FROM few"}, "SQL005"),
        ({"query": "SELECT a FROM few; DROP TABLE few"}, "SQL002"),
        ({"query": "SELECT passwd FROM pg_shadow"}, "SQL006"),
        ({"query": "DELETE FROM few RETURNING a"}, "SQL003"),
        ({"query": "SELECT a / 0 AS x FROM few"}, "SQL011"),
        ({"query": "SELECT CAST(b AS INTEGER) AS x FROM few"}, "SQL011"),
    ],
)
def test_what_cannot_be_read_is_said_in_our_words(run_sql, read, config, code):
    run_sql("DROP TABLE IF EXISTS few CASCADE", "CREATE TABLE few (a int, b text)", "INSERT INTO few VALUES (1, 'x')")
    assert code_of(read, **config) == [code]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"password": CANARY}, "CON012"),
        ({"user": "nobody here"}, "CON012"),
        ({"database": "no such"}, "CON013"),
        ({"port": 1}, "CON011"),
        ({"host": "no-such-host.invalid"}, "CON073"),
        ({"host": "/no/such/folder"}, "CON011"),
        ({"sslmode": "require"}, "CON017"),
        ({"database": None}, "CON067"),
        ({"dsn": f"no connection string {CANARY}"}, "CON069"),
        ({"dsn": f"host=x target_session_attrs=any password={CANARY.partition(' ')[0]}"}, "CON069"),
        ({"dsn": "host=x", "url": "host=y"}, "CON068"),
    ],
)
def test_a_connection_that_fails_says_why_and_shows_no_secret(place, postgres, fields, code):
    [found] = problems(Driver().describe, Config(table="t"), place(**fields))
    assert found.code == code
    told = f"{found.message} {found.hint}"
    for secret in (CANARY, CANARY.partition(" ")[0], postgres.password):
        assert secret not in told


def test_a_connection_string_says_where_to_go(place, postgres, database, run_sql, read):
    run_sql("DROP TABLE IF EXISTS few CASCADE", "CREATE TABLE few (a int)")
    from psycopg.conninfo import make_conninfo

    given = postgres.fields(database)
    dsn = make_conninfo(dbname=given.pop("database"), connect_timeout=5, **given)
    ctx = place(dsn=dsn, host=None, port=None, database=None, user=None, password=None)
    assert read(ctx, table="few").num_rows == 0


def test_a_missing_grant_is_told_with_the_statement_that_gives_it(run_sql, place):
    run_sql("DROP TABLE IF EXISTS hidden", "CREATE TABLE hidden (a int, b int)", "REVOKE ALL ON hidden FROM reader")
    [found] = problems(Driver().describe, Config(table="hidden"), place(reader=True))
    assert (found.code, found.hint) == ("DRV020", 'run GRANT SELECT ON "public"."hidden" TO "reader"')
    run_sql("GRANT SELECT (a) ON hidden TO reader")
    assert Driver().describe(Config(table="hidden", columns=["a"]), place(reader=True)).schema[0].name == "a"
    assert code_of(list, _read(place(reader=True), columns=["b"], table="hidden")) == ["DRV020"]


def _read(ctx, schema=None, **config):
    """Yield the batches of a read; describes the schema first unless it is given."""
    schema = schema or Driver().describe(Config(**config), ctx).schema
    yield from Driver().read(Config(**config), schema, ctx).batches()


@pytest.fixture(scope="module")
def many(postgres, database):
    """The table `many` of 200,000 rows, in more than one range."""
    rows = "SELECT n, 'row ' || n, repeat(md5(n::text), 4), n / 100.0 FROM generate_series(1, 200000) n"
    postgres.run(
        "CREATE TABLE public.many (n bigint NOT NULL, name text, filler text, amount numeric(12,2))",
        f"INSERT INTO public.many {rows}",
        "ANALYZE public.many",
        database=database,
    )


@pytest.mark.parametrize("connections", [1, 2, 4])
def test_many_rows_come_in_the_order_of_the_table(many, place, connections):
    ctx = replace(place(), threads=connections)
    described = Driver().describe(Config(table="many"), ctx)
    assert (described.order, described.rows) == ("fixed", 200_000)
    batches = list(_read(ctx, table="many", connections=connections, batch_size=7_000))
    rows = pa.Table.from_batches(batches)
    assert rows["n"].to_pylist() == list(range(1, 200_001))
    assert rows["amount"][-1].as_py() == decimal.Decimal("2000.00")
    assert max(batch.num_rows for batch in batches) == 7_000
    assert place.counts["rows_read"] == 200_000


AS_TEXT = {
    "interval": ("n * interval '1 second'", "PT5S"),
    "public.temper": ("'calm'", "calm"),
    "int4range": ("int4range(n, n + 1)", "[5,6)"),
    "point": ("point(n, 1)", "(5,1)"),
    "int4range[]": ("ARRAY[int4range(n, n + 1)]", ["[5,6)"]),
}
"""Types that are read as text, each with a value of row n and what that is in row 5."""


@pytest.mark.parametrize("kind", AS_TEXT)
@pytest.mark.parametrize("connections", [1, 2])
def test_ranges_of_a_table_with_columns_that_are_read_as_text(postgres, database, place, kind, connections):
    postgres.run(
        "DROP TABLE IF EXISTS public.wide",
        "DROP TYPE IF EXISTS public.temper",
        "CREATE TYPE public.temper AS ENUM ('calm')",
        f"CREATE TABLE public.wide (n integer NOT NULL, x {kind}, filler text)",
        f"INSERT INTO public.wide SELECT n, {AS_TEXT[kind][0]}, repeat('-', 1000) FROM generate_series(1, 30000) n",
        "ANALYZE public.wide",
        database=database,
    )
    ctx = replace(place(), threads=connections)
    rows = pa.Table.from_batches(list(_read(ctx, table="wide", connections=connections)))
    assert rows["n"].to_pylist() == list(range(1, 30_001))
    assert rows["x"][4].as_py() == AS_TEXT[kind][1]


def test_all_connections_see_the_state_of_the_first(many, place, run_sql):
    ctx = place()
    batches = _read(ctx, table="many")
    first = next(batches)
    run_sql("UPDATE many SET name = 'changed' WHERE n > 150000", "DELETE FROM many WHERE n = 199999")
    try:
        names = [name for batch in (first, *batches) for name in batch["name"].to_pylist()]
        assert names == [f"row {n}" for n in range(1, 200_001)]
    finally:
        run_sql("DROP TABLE many")
        many_again = "SELECT n, 'row ' || n, repeat(md5(n::text), 4), n / 100.0 FROM generate_series(1, 200000) n"
        run_sql("CREATE TABLE many (n bigint NOT NULL, name text, filler text, amount numeric(12,2))")
        run_sql(f"INSERT INTO many {many_again}", "ANALYZE many")


def _sessions(postgres, database, more=""):
    with postgres.connect() as client:
        found = f"SELECT pid FROM pg_stat_activity WHERE datname = %s AND application_name = 'osiris' {more}"
        return [pid for (pid,) in client.execute(found, [database]).fetchall()]


def _expect_none_left(postgres, database):
    until = time.monotonic() + SOON
    while _sessions(postgres, database):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("config", [{"table": "many"}, {"query": "SELECT * FROM many"}])
def test_a_backend_that_is_killed_ends_the_read_as_a_connection_that_is_lost(many, place, postgres, database, config):
    batches = _read(place(), **config)
    next(batches)
    with postgres.connect() as client:
        for pid in _sessions(postgres, database):
            client.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert code_of(list, batches) == ["CON014"]
    _expect_none_left(postgres, database)


@pytest.mark.parametrize("config", [{"table": "many"}, {"query": "SELECT * FROM many"}])
def test_whoever_stops_early_leaves_no_connection(many, place, postgres, database, config):
    batches = _read(place(), **config)
    next(batches)
    batches.close()
    _expect_none_left(postgres, database)


SLOW = "SELECT count(*) AS n FROM many a, many b, many c WHERE a.n + b.n + c.n < 0"


def test_a_cancelled_step_stops_the_server(many, place, postgres, database):
    asked = threading.Event()
    batches = _read(place(cancelled=asked.is_set), query=SLOW)
    once(lambda: _sessions(postgres, database, "AND state = 'active' AND query ~ '^COPY'"), asked.set)
    began = time.monotonic()
    assert code_of(list, batches) == ["RUN003"]
    assert time.monotonic() - began < SOON
    _expect_none_left(postgres, database)


def test_a_statement_that_takes_too_long_is_ended_by_the_server(many, place):
    assert code_of(list, _read(place(statement_timeout=0.3), query=SLOW)) == ["DRV021"]


def test_a_server_that_is_silent_while_it_works_is_waited_for(many, place):
    """The statement timeout ends it, long after the longest silence; a description within it takes far less."""
    assert code_of(list, _read(place(read_timeout=4, statement_timeout=12), query=SLOW)) == ["DRV021"]


def test_rows_end_wherever_their_last_message_is_cut_in_two(place):
    """The buffer has 2 MiB; the 30 bytes of messages after the only row are split at every position."""
    with reading(place(read_timeout=SOON)) as session:
        for length in range((2 << 20) - 80, (2 << 20) - 30):
            query = f"SELECT repeat('x', {length}) AS a"
            assert sum(len(rows.starts) for rows in copied(session.connection, query, 1, session.watch)) == 1
            assert session.watch.stopped is None, f"{length}: the end was waited for in vain"


def test_bytes_that_look_like_rows_are_none(run_sql, read, postgres, database):
    """The second column is full of bytes that look like headers of rows with two columns."""
    run_sql("DROP TABLE IF EXISTS feigned", "CREATE TABLE feigned (a int, b bytea)")
    heads = "decode(repeat('64000000060002', 1 + n % 90) || '6400000005' || '00020000', 'hex')"
    run_sql(f"INSERT INTO feigned SELECT n, {heads} FROM generate_series(1, 40000) n")
    with postgres.connect(database) as client:
        expected_rows = client.execute("SELECT a, b FROM public.feigned").fetchall()
    found = read(table="feigned")
    assert list(zip(found["a"].to_pylist(), found["b"].to_pylist(), strict=True)) == expected_rows


def test_random_rows_are_those_that_psycopg_reads(run_sql, read, postgres, database):
    """Numbers of every length and scale, and texts that end at every position relative to the buffer."""
    run_sql("DROP TABLE IF EXISTS chance")
    scales = [(9, 2), (18, 1), (18, 7), (30, 10), (50, 3)]
    columns = [f"d{i} numeric({p},{s})" for i, (p, s) in enumerate(scales)]
    run_sql(f"CREATE TABLE chance ({', '.join(columns)}, t text, b bytea, l int[])")
    numbers = [
        f"trunc(NULLIF(n % 200 - 100, 1) * (random() * 10 ^ ({p - s - 2} * random()))::numeric, n % {s + 1})"
        for p, s in scales
    ]
    rest = "repeat('žd', (random() ^ 30 * 300000)::int), decode(repeat('64', (random() * 300)::int), 'hex')"
    lists = (
        "CASE WHEN random() > 0.2 THEN (SELECT array_agg(g) FROM generate_series(1, (random() * 9)::int + n - n) g) END"
    )
    run_sql(
        "SELECT setseed(0.25)",
        f"INSERT INTO chance SELECT {', '.join(numbers)}, {rest}, {lists} FROM generate_series(1, 4000) n",
    )
    found = read(table="chance")
    with postgres.connect(database) as client:
        expected_rows = client.execute("SELECT * FROM public.chance").fetchall()
    assert list(zip(*(column.to_pylist() for column in found.columns), strict=True)) == expected_rows


def test_a_row_larger_than_any_buffer(run_sql, read):
    run_sql("DROP TABLE IF EXISTS large", "CREATE TABLE large (a int, b text, c bytea)")
    run_sql("INSERT INTO large VALUES (1, repeat('d', 30000000), '\\x64'), (2, 'x', NULL)")
    found = read(table="large")
    assert found["b"][0].as_py() == "d" * 30_000_000
    assert found["b"].to_pylist()[1:] == ["x"]


def test_a_table_that_changed_since_the_plan_is_refused(run_sql, place):
    run_sql("DROP TABLE IF EXISTS shape", "CREATE TABLE shape (a int)")
    schema = Driver().describe(Config(table="shape"), place()).schema
    run_sql("ALTER TABLE shape ALTER a TYPE bigint")
    assert code_of(Driver().confirm, Config(table="shape"), schema, place()) == ["DAT011"]
    assert code_of(list, _read(place(), schema, table="shape")) == ["DAT011"]


PROGRAM = """
import json, re, sys
from pathlib import Path
from osiris.components.postgres_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.secret import Secret
fields = json.loads(sys.stdin.read())
fields["password"] = Secret(fields["password"])
ctx = StepContext("s", Path("."), Path("."), Path("."), connection=fields)
def peak(config):
    schema = Driver().describe(config, ctx).schema
    for batch in Driver().read(config, schema, ctx).batches(): pass
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
peak(Config(table="many", limit=60000))
before = peak(Config(table="many", connections=1))
five = "SELECT a.*, b.n AS m FROM many a, generate_series(1, 5) b(n)"
print(before, peak(Config(table="many")), peak(Config(query=five)))
"""


def test_memory_stays_flat(many, postgres, database):
    given = json.dumps(postgres.fields(database))
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two, five = map(int, done.stdout.split())
    assert max(two, five) - one < 90
    assert five < 300


@pytest.fixture(scope="module")
def encrypted():
    """A server with TLS, with the table `many`."""
    with start_postgres(encrypted=True) as server:
        rows = "SELECT n, 'd' || n, NULL::date, repeat('d', 150) AS filler FROM generate_series(1, 200000) n"
        server.run(f"CREATE TABLE many AS {rows}", "CREATE TABLE large AS SELECT repeat('d', 20000000) AS a")
        yield server


def test_an_encrypted_connection_gives_the_same_rows(encrypted, place, read):
    certificate = str(encrypted.folder / "certificate")
    fields = {**encrypted.fields(), "sslmode": "verify-full", "sslrootcert": certificate}
    found = read(place(**fields), table="many")
    assert found.column(0).to_pylist() == list(range(1, 200_001))
    assert found.column(1).to_pylist() == [f"d{n}" for n in range(1, 200_001)]
    assert len(read(place(**fields), table="large")["a"][0].as_py()) == 20_000_000
    assert read(place(**fields), query="SELECT count(*) AS n FROM many").to_pylist() == [{"n": 200_000}]


def test_what_goes_wrong_on_an_encrypted_connection(encrypted, place, read):
    fields = encrypted.fields()
    for change, code in [
        ({"sslmode": "verify-full"}, "CON017"),
        ({"sslmode": "require", "password": CANARY}, "CON012"),
        ({"sslmode": "require", "database": "no such"}, "CON012"),
    ]:
        [found] = problems(Driver().describe, Config(table="many"), place(**{**fields, **change}))
        assert found.code == code
        assert CANARY not in found.message
    ctx = place(**fields, sslmode="require")
    assert code_of(read, ctx, query="SELECT 1 / (n - 150000) AS x FROM generate_series(1, 200000) AS g(n)") == [
        "SQL011"
    ]
    batches = _read(ctx, table="many")
    next(batches)
    encrypted.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'osiris'")
    assert code_of(list, batches) == ["CON014"]


CONNECTIONS = """
connections:
  postgres:
    default: {host: 127.0.0.1, port: "${PORT}", database: "${DATABASE}", user: "${WHO}", password: "${PASS}"}
"""
PIPELINE = """
oml_version: "0.1.0"
name: sold
steps:
  - {id: rows, component: postgres.extractor, mode: read, needs: [], config: {table: many}}
  - {id: out, component: filesystem.parquet_writer, mode: write, config: {path: out/many.parquet}}
  - id: few
    component: postgres.extractor
    mode: read
    needs: []
    config: {query: "SELECT n, name FROM many WHERE n < 4 ORDER BY n"}
  - {id: text, component: filesystem.csv_writer, mode: write, needs: [few], config: {path: out/few.csv}}
"""


def test_a_pipeline_reads_and_its_password_is_in_no_byte(many, postgres, database, tmp_path, osiris):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(CONNECTIONS)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    given = postgres.fields(database)
    env = {"PORT": str(given["port"]), "DATABASE": database, "WHO": given["user"], "PASS": given["password"]}
    done = osiris("run", "pipeline.yaml", "--json", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert parquet.read_table(tmp_path / "out" / "many.parquet").num_rows == 200_000
    assert (tmp_path / "out" / "few.csv").read_text() == "n,name\n1,row 1\n2,row 2\n3,row 3\n"
    wrong = osiris("run", "pipeline.yaml", "--new-run", "--json", cwd=tmp_path, env={**env, "PASS": CANARY})
    assert (wrong.returncode, json.loads(wrong.stdout)["diagnostics"][0]["code"]) == (3, "CON012")
    told = [done.stdout, done.stderr, wrong.stdout, wrong.stderr]
    told += [path.read_bytes().decode("utf-8", "replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in told for secret in (given["password"], CANARY) if secret in text]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "DRV022"),
        ("53300", "CON011"),
        ("08006", "CON014"),
        ("42501", "DRV020"),
        ("57014", "DRV021"),
        ("XX001", "DRV013"),
        ("22012", "DRV013"),
    ],
)
def test_what_the_server_says_is_told_by_its_number(run_sql, read, state, code):
    raised = f"RAISE EXCEPTION 'in its words' USING ERRCODE = '{state}'"
    body = f"BEGIN IF n > 100 THEN {raised}; END IF; RETURN n; END"
    run_sql("DROP VIEW IF EXISTS raising", "DROP FUNCTION IF EXISTS raising")
    run_sql(f"CREATE FUNCTION raising(n int) RETURNS int LANGUAGE plpgsql AS $$ {body} $$")
    run_sql("CREATE VIEW raising AS SELECT raising(n) AS n FROM generate_series(1, 200) n")
    [found] = problems(read, table="raising")
    assert found.code == code
    assert "in its words" in found.message


@pytest.mark.parametrize(
    ("query", "line", "column"),
    [
        ("select n,\n  /* žluť */ upper(n) AS m\nfrom many", 2, 14),
        ("SELECT n AS a,\n\n   n + now() AS b FROM many", 3, 6),
        ("SELECT n FROM many WHERE n = 4711 AND\n lower(n) = 'a'", 2, 2),
    ],
)
def test_an_error_of_the_server_names_its_place_in_the_query(many, place, query, line, column):
    (found,) = problems(Driver().describe, Config(query=query), place())
    assert (found.code, found.location.line, found.location.column) == ("SQL009", line, column)


QUERY_PIPELINE = """
oml_version: "0.1.0"
name: load
steps:
  - id: rows
    component: postgres.extractor
    mode: read
    config:
      connection: "@postgres.source"
      query: |
        SELECT n,
          -- of a number there is no upper case
          upper(n) AS m
        FROM many
  - {id: out, component: filesystem.csv_writer, mode: write, config: {path: out.csv}}
"""
SOURCE = """
connections:
  postgres:
    source: {host: %(host)s, port: %(port)s, database: "%(database)s", user: "%(user)s", password: "${SOURCE_PASSWORD}"}
"""


def test_an_error_of_the_server_names_its_place_in_the_file(many, postgres, database, osiris, tmp_path):
    fields = postgres.fields(database)
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(SOURCE % fields)
    (tmp_path / "load.yaml").write_text(QUERY_PIPELINE)
    done = osiris("compile", "load.yaml", "--json", cwd=tmp_path, env={"SOURCE_PASSWORD": fields["password"]})
    told = json.loads(done.stdout)["diagnostics"]
    assert [(d["code"], d["line"], d["column"]) for d in told if d["severity"] == "error"] == [("SQL009", 13, 11)]
