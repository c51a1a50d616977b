"""MySQL databases: every type is read as the server has it, in one snapshot, and rejections use our messages."""

import datetime as dt
import decimal
import json
import random
import re
import socket
import threading
import time
import uuid
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as parquet
import pytest
from tests.general_log import logged
from tests.patience import SOON, once, wait_until
from tests.servers import start_mariadb

from osiris.components.mysql_extractor.driver import Config, Driver
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.families.mysql import doctor
from osiris.families.mysql.discover import discovering
from osiris.secret import Secret

CANARY = "no-such-passw0rd'%@ é"
UNUSUAL = ("sql-mode=ANSI", "default-time-zone=+05:45", "max-allowed-packet=1M", "group-concat-max-len=8")


@pytest.fixture(scope="module")
def server():
    """A server with settings that are different from ours."""
    with start_mariadb(*UNUSUAL) as found:
        found.run("SET GLOBAL sql_select_limit = 3", "SET GLOBAL sql_auto_is_null = 1")
        yield found


@pytest.fixture(scope="module")
def database(server):
    return server.new_database()


@pytest.fixture
def run_sql(server, database):
    """`run_sql(*statements)` changes the database from outside."""
    return lambda *statements: server.run("SET sql_mode = ''", *statements, database=database)


@pytest.fixture
def place(tmp_path, server, database):
    """`place(password="x")` returns the context of a step whose connection has these fields; counts are kept."""

    def make(reader=False, cancelled=lambda: False, **fields):
        given = {**server.fields(database, reader=reader), **fields}
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


TYPES = [
    # declared type, our type, values as SQL
    ("TINYINT", "int8", "-128", "127", "0"),
    ("TINYINT UNSIGNED", "uint8", "255", "0"),
    ("TINYINT(1)", "int8", "1", "0", "7"),
    ("SMALLINT", "int16", "-32768", "32767"),
    ("MEDIUMINT", "int32", "-8388608", "8388607"),
    ("INT", "int32", "-2147483648", "2147483647", "10", "99999999", "-100000000"),
    ("INT(6) ZEROFILL", "uint32", "42", "4294967295"),
    ("BIGINT", "int64", "-9223372036854775808", "9223372036854775807", "12345678", "-123456789012345678"),
    ("BIGINT UNSIGNED", "uint64", "18446744073709551615", "10000000000000000000", "0"),
    ("FLOAT", "float32", "1.2345678", "3.40282e38", "1e-45", "16777217"),
    ("FLOAT(7,3)", "float32", "1.2345"),
    ("DOUBLE", "float64", "1.7976931348623157e308", "5e-324", "0.1", "-1e22"),
    ("DOUBLE(20,2)", "float64", "1e17", "0.1"),
    ("DECIMAL(15,2)", "decimal(15,2)", "9999999999999.99", "-9999999999999.99", "0", "0.01", "-0.1", "1234.5"),
    ("DECIMAL(18,18)", "decimal(18,18)", "0.123456789012345678", "-0.5", "0"),
    ("DECIMAL(5,0)", "decimal(5,0)", "-99999", "7"),
    ("DECIMAL(9,3) UNSIGNED", "decimal(9,3)", "999999.999", "0.001"),
    ("DECIMAL(38,10)", "decimal(38,10)", "9999999999999999999999999999.9999999999", "-1e-10", "0"),
    ("DECIMAL(65,30)", "decimal(65,30)", f"-{'9' * 35}.{'9' * 30}", "1e-30", "0"),
    ("BIT(1)", "bool", "b'1'", "b'0'"),
    ("BIT(9)", "uint16", "b'100000001'", "b'0'"),
    ("BIT(64)", "uint64", "18446744073709551615", "1"),
    ("YEAR", "uint16", "2024", "1901", "0"),
    ("DATE", "date", "'0001-01-01'", "'9999-12-31'", "'1970-01-01'", "'2000-02-29'", "'1969-12-31'"),
    ("DATETIME", "timestamp[us]", "'0001-01-01 00:00:00'", "'9999-12-31 23:59:59'"),
    ("DATETIME(6)", "timestamp[us]", "'1969-12-31 23:59:59.999999'", "'2024-03-31 02:30:00.000001'"),
    ("TIMESTAMP(3) NULL", "timestamp[us,UTC]", "'1970-01-02 00:00:00.001'", "'2038-01-19 03:14:07.999'"),
    ("TIME", "time[us]", "'00:00:00'", "'23:59:59'"),
    ("TIME(4)", "time[us]", "'12:34:56.7891'"),
    ("CHAR(5)", "utf8", "'ab'", "''", "'žlutý'"),
    (
        "VARCHAR(300)",
        "utf8",
        "''",
        "'NULL'",
        "'a\\tb\\nc\\rd\\\\e\\0\"f'",
        "'žluť 😀'",
        "repeat('d', 250)",
        "repeat('d', 251)",
    ),
    ("VARCHAR(20) CHARACTER SET latin1", "utf8", "'é ß'"),
    ("LONGTEXT", "utf8", "''", "repeat('x', 65535)", "repeat('é', 40000)", "repeat('y', 252)"),
    ("BINARY(4)", "binary", "x'00ff'", "''"),
    ("VARBINARY(300)", "binary", "''", "x'00fffe27225c'", "repeat('d', 255)"),
    ("LONGBLOB", "binary", "repeat(x'00', 70000)", "x'fb'"),
    ("ENUM('so so', 'žádný')", "utf8", "'so so'", "'žádný'"),
    ("SET('x', 'y')", "utf8", "''", "'x,y'"),
    ("JSON", "json", '\'{"b": 1, "a":  [1.0, null]}\'', "'null'"),
    ("UUID", "uuid", "'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    ("INET6", "utf8", "'::1'"),
]


@pytest.fixture(scope="module")
def typed(server, database):
    """The table `typed`: one column per type, with values and NULLs before, between and after them."""
    longest = max(len(values) for _, _, *values in TYPES)
    server.run(
        "SET sql_mode = '', time_zone = '+00:00'",
        f"CREATE TABLE typed (n INT NOT NULL PRIMARY KEY, {', '.join(f'c{i} {t}' for i, (t, *_) in enumerate(TYPES))})",
        *(
            f"INSERT INTO typed VALUES ({row}, {', '.join(_cell(values, row) for _, _, *values in TYPES)})"
            for row in range(2 * longest + 1)
        ),
        database=database,
    )


def _cell(values, row):
    return values[row // 2] if row % 2 and row // 2 < len(values) else "NULL"


def as_arrow_says(value, kind):
    """Return a value of the plain client library as Arrow would convert it to Python."""
    if value is None:
        return None
    plain = {
        "bool": lambda: value == b"\1",
        "uuid": lambda: uuid.UUID(value),
        "time[us]": lambda: (dt.datetime(2000, 1, 1, tzinfo=dt.UTC) + value).time(),
        "timestamp[us,UTC]": lambda: value.replace(tzinfo=dt.UTC),
        "uint16": lambda: int.from_bytes(value, "big") if isinstance(value, bytes) else value,
        "uint64": lambda: int.from_bytes(value, "big") if isinstance(value, bytes) else value,
    }
    return plain.get(kind, lambda: value)()


def from_client(server, database, query):
    with server.connect(database) as client, client.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00', sql_select_limit = 1000000, sql_mode = ''")
        cursor.execute(query)
        return list(zip(*cursor.fetchall(), strict=True))


def test_every_type_comes_back_as_the_client_library_reads_it(read, server, database, typed, tmp_path):
    found = read(table="typed")
    parquet.write_table(found, tmp_path / "typed.parquet")
    again = parquet.read_table(tmp_path / "typed.parquet")
    texts = [f"c{i} * 1e0" if kind.startswith("FLOAT") else f"c{i}" for i, (kind, *_) in enumerate(TYPES)]
    columns = from_client(server, database, f"SELECT {', '.join(texts)} FROM typed ORDER BY n")
    for index, ((declared, kind, *_), expected) in enumerate(zip(TYPES, columns, strict=True)):
        column = found[f"c{index}"]
        assert column.to_pylist() == [as_arrow_says(value, kind) for value in expected], declared
        assert column.equals(again[f"c{index}"].cast(column.type)), declared
    assert found.num_rows == again.num_rows == len(columns[0])


READS = re.compile(r"(SELECT|SHOW|SET (SESSION|NAMES)|START TRANSACTION READ ONLY|COMMIT|ROLLBACK)\b")


def test_a_source_gets_statements_that_read_and_no_others(place, read, run_sql, server):
    """The catalogue shows `?` for letters such as 😀; a reader does not need to distinguish them."""
    run_sql(
        "CREATE TABLE odd_lists (id INT PRIMARY KEY, "
        "e ENUM('?', 'a''b', 'c,d', '\"', '😀'), s SET('?', 'a''b', '\"', '😀'))",
        "INSERT INTO odd_lists VALUES (1, '😀', '?,😀'), (2, '?', 'a\\'b')",
        "CREATE VIEW odd_listed AS SELECT * FROM odd_lists",
    )
    ctx = replace(place(), step="@mysql.main", family="mysql")
    with logged(server) as sent:
        with discovering(ctx) as found:
            for table in [each for each in found.tables(found.own_schema) if each.name.startswith("odd_list")]:
                columns = found.detailed(table).columns
                assert [column.type for column in columns] == ["int32", "utf8", "utf8"]
                found.sample(table, ["id", "e", "s"], 10)
        doctor.examine(ctx, frozenset(), 10)
        rows = read(table="odd_lists").to_pylist()
        assert read(query="SELECT e, s FROM odd_lists ORDER BY id").num_rows == 2
    assert rows == [{"id": 1, "e": "😀", "s": "?,😀"}, {"id": 2, "e": "?", "s": "a'b"}]
    assert any("odd_listed" in text for text in sent)
    assert [text for text in sent if not READS.match(text)] == []


def test_types_are_those_of_the_server(place, typed):
    described = Driver().describe(Config(table="typed"), place())
    assert [(field.name, field.type) for field in described.schema[1:]] == [
        (f"c{i}", kind) for i, (_, kind, *_) in enumerate(TYPES)
    ]
    assert [field.nullable for field in described.schema] == [False] + [True] * len(TYPES)
    assert described.order == "fixed"


@pytest.fixture(scope="module")
def mixed(server, database):
    """The table `mixed`: 20,000 rows of various lengths, with NULLs, not in key order."""
    chance = random.Random(7)
    server.run(
        "CREATE TABLE mixed (id INT PRIMARY KEY, a BIGINT, b DECIMAL(18,4), c DATETIME(3), d VARBINARY(300), "
        "e LONGTEXT, f VARCHAR(10), KEY (f))",
        database=database,
    )
    lengths = [0, 1, 8, 12, 13, 249, 250, 251, 252, 300]

    def maybe(value):
        return None if chance.random() < 0.2 else value

    def row(number):
        long = chance.choice([65_530, 65_535, 65_536, 70_000]) if number % 997 == 0 else chance.choice(lengths)
        moment = dt.datetime(1900, 1, 1) + dt.timedelta(milliseconds=chance.randrange(10**13))  # noqa: DTZ001
        blob = bytes(chance.choice((0, 1, 251, 254, 255, 65)) for _ in range(chance.choice(lengths)))
        whole = chance.randrange(-(2**63), 2**63) >> chance.randrange(64)
        fixed = decimal.Decimal(chance.randrange(-(10**18) + 1, 10**18) // 10 ** chance.randrange(18)).scaleb(-4)
        values = (whole, fixed, moment, blob, chance.choice("ab\0é\n") * long, chance.choice("abc"))
        return (number, *map(maybe, values))

    rows = [row(number) for number in range(20_000)]
    chance.shuffle(rows)
    with server.connect(database) as client, client.cursor() as cursor:
        for start in range(0, len(rows), 500):
            cursor.executemany("INSERT INTO mixed VALUES (%s, %s, %s, %s, %s, %s, %s)", rows[start : start + 500])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id, a, b, c, d, e, f FROM mixed ORDER BY id",
        "SELECT e, id, d FROM mixed ORDER BY id DESC LIMIT 700",
        "SELECT a.id, b.a, b.b * 2 AS twice, b.f FROM mixed a JOIN mixed b ON a.id = b.id + 1 ORDER BY 1",
        "SELECT f, COUNT(*) AS n, SUM(b) AS s, MAX(c) AS m, AVG(a) AS g, MIN(d) AS d FROM mixed GROUP BY f ORDER BY f",
        "SELECT f FROM mixed WHERE id < 0 UNION ALL SELECT '' FROM mixed WHERE id = 1",
    ],
)
def test_queries_give_what_the_client_library_reads(read, server, database, mixed, query):
    found = read(query=query)
    expected = from_client(server, database, query)
    for name, column in zip(found.column_names, expected, strict=True):
        assert found[name].to_pylist() == list(column), name


def test_encrypted_and_plain_connections_read_the_same(read, place, mixed):
    plain, encrypted = (read(place(sslmode=mode), table="mixed") for mode in ("disable", "require"))
    assert plain.equals(encrypted)
    assert plain["id"].to_pylist() == list(range(20_000))


def test_a_table_is_read_as_asked(read, place, server, database, mixed):
    found = read(table="mixed", columns=["f", "id"], limit=3, offset=5)
    assert found.column_names == ["f", "id"]
    assert found["id"].to_pylist() == [5, 6, 7]
    assert read(table="mixed", columns=["id"], offset=19_999)["id"].to_pylist() == [19_999]
    place.counts.clear()
    assert read(table="mixed", columns=["f"]).num_rows == place.counts["rows_read"] == 20_000


INVISIBLE = {
    "id": "INT INVISIBLE PRIMARY KEY AUTO_INCREMENT",
    "a": "INT",
    "b": "INT INVISIBLE DEFAULT 5",
    "c": "FLOAT INVISIBLE",
    "d": "JSON INVISIBLE",
    "e": "INT AS (a * 2) VIRTUAL",
    "f": "INT AS (a * 3) VIRTUAL INVISIBLE",
    "g": "INT AS (a * 4) STORED INVISIBLE",
}
STAMPS = {
    "began": "TIMESTAMP(6) GENERATED ALWAYS AS ROW START {}",
    "ended": "TIMESTAMP(6) GENERATED ALWAYS AS ROW END {}",
}
VERSIONS = {
    "no versions": ({}, ""),
    "implicit versions": ({}, "WITH SYSTEM VERSIONING"),
    "versions": ({name: kind.format("") for name, kind in STAMPS.items()}, "WITH SYSTEM VERSIONING"),
    "invisible versions": (
        {name: kind.format("INVISIBLE") for name, kind in STAMPS.items()},
        "WITH SYSTEM VERSIONING",
    ),
}


@pytest.mark.parametrize("versions", VERSIONS)
def test_invisible_and_computed_columns_are_read_as_others(read, place, server, database, run_sql, versions):
    stamps, suffix = VERSIONS[versions]
    columns = INVISIBLE | stamps
    listed = [f"{name} {kind}" for name, kind in columns.items()]
    listed += ["PERIOD FOR SYSTEM_TIME(began, ended)"] if stamps else []
    run_sql(
        "DROP TABLE IF EXISTS unseen",
        f"CREATE TABLE unseen ({', '.join(listed)}) {suffix}",
        """INSERT INTO unseen (id, a, b, c, d) VALUES (2, 20, 7, 0.1, '{"x": 1}'), (1, 10, NULL, NULL, NULL)""",
        "UPDATE unseen SET a = 11 WHERE id = 1",
    )
    found = read(table="unseen")
    assert found.column_names == list(columns)
    assert found.select([*INVISIBLE]).to_pylist() == [
        {"id": 1, "a": 11, "b": None, "c": None, "d": None, "e": 22, "f": 33, "g": 44},
        {"id": 2, "a": 20, "b": 7, "c": pytest.approx(0.1), "d": '{"x": 1}', "e": 40, "f": 60, "g": 80},
    ]
    names = ", ".join(f"CAST({name} AS CHAR)" for name in stamps) or "'-'"
    with server.connect(database) as client, client.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute(f"SELECT {names} FROM unseen ORDER BY id")
        expected = [[text for text in row if text != "-"] for row in cursor.fetchall()]
    texts = [[f"{row[name]:%Y-%m-%d %H:%M:%S.%f}" for name in stamps] for row in found.to_pylist()]
    assert texts == expected
    with discovering(place()) as discoverer:
        (seen,) = [table for table in discoverer.tables(database) if table.name == "unseen"]
        details = discoverer.detailed(seen)
    assert [column.name for column in details.columns] == list(columns)
    assert details.primary_key == ("id", *(name for name in stamps if name == "ended"))
    assert details.config == {"table": "unseen"}


def test_pieces_are_as_large_as_asked(place, mixed):
    ctx = place()
    schema = Driver().describe(Config(table="mixed"), ctx).schema
    sizes = [batch.num_rows for batch in Driver().read(Config(table="mixed", batch_size=150), schema, ctx).batches()]
    assert sum(sizes) == 20_000
    assert max(sizes) == 150


def test_names_are_taken_as_they_are(read, run_sql):
    run_sql(
        'CREATE TABLE `we\'ird "t`` é` (`a ``b` INT, `select` INT, `ž"` INT)',
        "INSERT INTO `we'ird \"t`` é` VALUES (1, 2, 3)",
        "CREATE VIEW shown AS SELECT `select` AS `x y` FROM `we'ird \"t`` é`",
        "CREATE TABLE empty_one (a INT, b VARCHAR(3))",
    )
    assert read(table="we'ird \"t` é").to_pylist() == [{"a `b": 1, "select": 2, 'ž"': 3}]
    assert read(table="shown").to_pylist() == [{"x y": 2}]
    assert read(table="empty_one").num_rows == 0
    assert read(query="SELECT `x y` FROM shown").to_pylist() == [{"x y": 2}]


def test_another_database_is_read_by_name(read, place, server):
    other = server.new_database()
    server.run("CREATE TABLE there (a INT)", "INSERT INTO there VALUES (4)", database=other)
    assert read(table="there", schema=other)["a"].to_pylist() == [4]
    assert read(place(schema=other), query="SELECT a FROM there")["a"].to_pylist() == [4]


def test_rows_that_come_in_several_packets_are_whole(place, read, mariadb):
    name = mariadb.new_database()
    mariadb.run(
        "CREATE TABLE wide (id INT PRIMARY KEY, a LONGTEXT, b LONGBLOB)",
        "INSERT INTO wide VALUES (1, 'x', NULL), (2, REPEAT('é', 4500000), REPEAT(x'00ff', 4500000)), (3, '', 'y')",
        database=name,
    )
    found = read(place(port=mariadb.port, database=name), table="wide").to_pylist()
    assert [(row["id"], len(row["a"]), row["b"] and len(row["b"])) for row in found] == [
        (1, 1, None),
        (2, 4_500_000, 9_000_000),
        (3, 0, 1),
    ]
    assert found[1]["b"] == b"\0\xff" * 4_500_000


def test_a_read_sees_one_state(place, run_sql):
    run_sql(
        "CREATE TABLE moving (id INT PRIMARY KEY, pad CHAR(200))",
        "INSERT INTO moving SELECT seq, 'x' FROM seq_1_to_60000",
    )
    ctx = place()
    schema = Driver().describe(Config(table="moving"), ctx).schema
    batches = Driver().read(Config(table="moving"), schema, ctx).batches()
    seen = next(batches).num_rows
    run_sql("DELETE FROM moving WHERE id > 100")
    assert seen + sum(batch.num_rows for batch in batches) == 60_000


def test_values_that_cannot_be_carried_are_told_with_their_row(read, run_sql):
    run_sql(
        "CREATE TABLE odd (id INT PRIMARY KEY, d DATE, t TIME, m DATETIME)",
        "INSERT INTO odd VALUES (1, NULL, NULL, NULL), (2, '2024-00-10', '-00:00:01', '0000-00-00')",
        "INSERT INTO odd VALUES (3, '0000-00-00', '838:59:59', '2024-01-00')",
    )
    for column, value in (("d", "2024-00-10"), ("t", "-00:00:01"), ("m", "0000-00-00 00:00:00")):
        (found,) = problems(read, table="odd", columns=["id", column])
        assert (found.code, f"column '{column}', row 2: {value}") == ("DAT031", found.message.partition(";")[0])
    assert code_of(read, query="SELECT t FROM odd WHERE id = 3") == ["DAT031"]
    assert read(query="SELECT CAST(t AS CHAR) AS t FROM odd WHERE id = 3")["t"].to_pylist() == ["838:59:59"]


def test_types_without_an_exact_form_are_refused_before_anything_is_read(place, read, run_sql):
    run_sql("CREATE TABLE shapes (g GEOMETRY, p POINT, f FLOAT)", "INSERT INTO shapes VALUES (NULL, NULL, 1.2345678)")
    found = problems(Driver().describe, Config(table="shapes"), place())
    assert [(each.code, each.message.split("'")[1]) for each in found] == [("DAT006", "g"), ("DAT006", "p")]
    assert code_of(read, query="SELECT f, NULL AS n FROM shapes") == ["DAT006", "DAT006"]
    assert code_of(read, query="SELECT f AS a, g AS b FROM shapes") == ["DAT006", "DAT006"]
    assert code_of(read, query="SELECT 1 AS a, 2 AS a") == ["SQL009"]


def test_values_that_the_server_cuts_off_fail_the_step(read, run_sql):
    run_sql("CREATE TABLE words (w VARCHAR(20))", "INSERT INTO words VALUES ('12abc')")
    assert read(query="SELECT GROUP_CONCAT(w, w, w) AS w FROM words")["w"].to_pylist() == ["12abc" * 3]
    assert code_of(read, query="SELECT CAST(w AS SIGNED) AS n FROM words") == ["DAT033"]
    assert code_of(read, query="SELECT REPEAT(w, 1000000) AS n FROM words") == ["DAT033"]
    assert read(query="SELECT 1 / 0 AS n")["n"].to_pylist() == [None]


def test_values_of_a_run_are_put_into_a_query_as_literals(place, run_sql):
    run_sql("CREATE TABLE bound (id INT PRIMARY KEY, a VARCHAR(40), b DATETIME)")
    run_sql("INSERT INTO bound VALUES (1, 'x\\\\'' OR 1 -- ', '2024-05-31 23:00:00'), (2, 'y', '2025-01-01')")
    started = dt.datetime(2024, 6, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    ctx = replace(place(), bindings={"param_who": Secret("x\\' OR 1 -- "), "run_started_at": started})
    query = "SELECT id, '$param_who' AS c FROM bound WHERE a = $param_who AND b < $run_started_at"
    schema = Driver().describe(Config(query=query), ctx).schema
    found = Driver().read(Config(query=query), schema, ctx).reader().read_all()
    assert found.to_pylist() == [{"id": 1, "c": "$param_who"}]


def test_an_order_is_fixed_where_nothing_can_tie(place, mixed):
    def order(query):
        return Driver().describe(Config(query=query), place()).order

    assert order("SELECT id, b FROM mixed ORDER BY b") == "fixed"
    assert order("SELECT id, b FROM mixed") == "free"
    assert order("SELECT id, f FROM mixed ORDER BY id") == "free"


def test_queries_that_do_more_than_read_are_refused(read, mixed):
    for query in ("DELETE FROM mixed", "SELECT 1; SELECT 2", "SELECT SLEEP(1) AS a", "SELECT * FROM mysql.user"):
        assert code_of(read, query=query)[0].startswith("SQL"), query
    assert code_of(read, query="SELECT nothing FROM mixed") == ["SQL009"]
    assert code_of(read, query="SELECT a FROM mixe") == ["SQL006"]


def test_what_is_not_there_is_named(read, place, mixed):
    (found,) = problems(read, table="mixe")
    assert (found.code, found.hint) == ("DRV012", "did you mean 'mixed'?")
    assert code_of(read, table="mixed", columns=["aa"]) == ["DAT005"]
    assert code_of(read, place(database="nowhere"), table="mixed") == ["CON013"]
    schema = Driver().describe(Config(table="mixed"), place()).schema
    assert code_of(Driver().confirm, Config(table="mixed", columns=["id"]), schema, place()) == ["DAT011"]


def test_rights_that_are_missing_are_told(read, place, server):
    closed = server.new_database()
    server.run("CREATE TABLE hidden (a INT, b INT)", "CREATE TABLE other (a INT)", database=closed)
    server.run(
        f"REVOKE SELECT, SHOW VIEW ON `{closed}`.* FROM {server.reader}@'%'",
        f"GRANT SELECT (a) ON `{closed}`.hidden TO {server.reader}@'%'",
    )
    assert code_of(read, place(reader=True, database=closed), table="hidden", columns=["b"]) == ["DAT005"]
    (found,) = problems(read, place(reader=True, database=closed), table="other")
    assert (found.code, found.hint) == ("DRV020", f"run GRANT SELECT ON `{closed}`.`other` TO `reader`@`%`")
    (found,) = problems(read, place(reader=True, database="mysql"), table="user")
    assert (found.code, "'reader' has no permission: it has no privileges in this database" in found.message) == (
        "DRV020",
        True,
    )
    assert "GRANT SELECT" in found.hint
    assert read(place(reader=True, database=closed), table="hidden", columns=["a"]).num_rows == 0


def test_a_wrong_password_is_told_and_not_shown(read, place, tmp_path):
    found = problems(read, place(password=CANARY), table="mixed")
    assert [each.code for each in found] == ["CON012"]
    assert CANARY not in json.dumps([each.to_json() for each in found], ensure_ascii=False)
    assert found[0].exit_code == 3


def test_a_server_that_is_not_there_is_told(read, place):
    assert code_of(read, place(host="no-such-host.invalid"), table="t") == ["CON073"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert code_of(read, place(port=free.getsockname()[1]), table="t") == ["CON011"]
        free.listen()
        began = time.monotonic()
        assert code_of(read, place(port=free.getsockname()[1], connect_timeout=0.5), table="t") == ["CON015"]
        assert time.monotonic() - began < SOON


def test_connections_are_given_in_parts_or_whole(read, place, server, database, mixed):
    from urllib.parse import quote

    user, password = quote(server.user, safe=""), quote(server.password, safe="")
    dsn = f"mysql://{user}:{password}@127.0.0.1:{server.port}/{quote(database)}?sslmode=disable"
    nothing = {"host": None, "port": None, "user": None, "password": None, "database": None}
    assert read(place(**nothing, dsn=dsn), table="mixed", limit=1).num_rows == 1
    for wrong in ("mysql://[", CANARY, f"mysql://u:{CANARY}@h/d?x=1", "mysql://u@h/d?read_timeout=x"):
        found = problems(read, place(**nothing, dsn=wrong), table="mixed")
        assert [each.code for each in found] == ["CON069"]
        assert CANARY not in str([each.to_json() for each in found])
    assert code_of(read, place(user=None), table="mixed") == ["CON067"]


def test_certificates_are_checked_where_that_is_asked_for(read, place, mixed, tmp_path):
    assert code_of(read, place(sslmode="verify-full"), table="mixed") == ["CON017"]
    assert code_of(read, place(sslmode="verify-ca", sslrootcert=str(tmp_path / "none")), table="mixed") == ["CON017"]
    with start_mariadb("skip-ssl") as plain:
        fields = {"port": plain.port, "database": plain.database, "sslmode": "require"}
        assert code_of(read, place(**fields), table="mixed") == ["CON017"]
        assert code_of(read, place(**fields | {"sslmode": "prefer"}), table="mixed") == ["DRV012"]


SLOW = "SELECT COUNT(*) AS n FROM mixed a, mixed b, mixed c WHERE a.id * b.id + c.id < 0"


def test_a_statement_that_takes_too_long_is_ended(read, place, mixed):
    assert code_of(read, place(statement_timeout=0.3), query=SLOW) == ["DRV021"]


def test_a_server_that_is_silent_while_it_works_is_waited_for(read, place, mixed):
    """The statement timeout ends it, long after the longest silence; a description within it takes far less."""
    assert code_of(read, place(read_timeout=4, statement_timeout=12), query=SLOW) == ["DRV021"]


def test_a_cancelled_step_stops_the_server_too(read, place, server, mixed):
    stop = threading.Event()
    once(lambda: running(server, "TIME_MS > 300"), stop.set)
    began = time.monotonic()
    assert code_of(read, place(cancelled=stop.is_set), query=SLOW) == ["RUN003"]
    assert time.monotonic() - began < SOON
    wait_until(lambda: not running(server))


def running(server, more="TRUE"):
    with server.connect() as client, client.cursor() as cursor:
        cursor.execute(
            "SELECT ID FROM information_schema.PROCESSLIST "
            f"WHERE (INFO LIKE 'SELECT\n  COUNT%' OR INFO LIKE '%mixed%') AND {more}"
        )
        own = client.thread_id()
        return [number for (number,) in cursor.fetchall() if number != own]


def test_a_killed_connection_never_gives_a_short_result(place, server, run_sql):
    run_sql(
        "CREATE TABLE long_one (id INT PRIMARY KEY, pad CHAR(255))",
        "INSERT INTO long_one SELECT seq, REPEAT('x', 255) FROM seq_1_to_200000",
    )
    ctx = place()
    schema = Driver().describe(Config(table="long_one"), ctx).schema
    batches = Driver().read(Config(table="long_one"), schema, ctx).batches()
    next(batches)
    with server.connect() as client, client.cursor() as cursor:
        cursor.execute(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%long_one%' AND ID <> CONNECTION_ID()"
        )
        for (number,) in cursor.fetchall():
            cursor.execute(f"KILL {number}")
    assert code_of(list, batches) == ["CON014"]
