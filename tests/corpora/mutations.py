"""Thousands of statements made of honest queries and pieces of attacks: spliced, wrapped, quoted, commented.

Most are nonsense; some are harmless and some are not, and the test finds out which by running those that are accepted.
Everything follows from the seed. The file was written without knowledge of the checker.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from tests.corpora.servers import HERE
from tests.corpora.test_tpc_servers import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CANARY = "canary7b1f"
"""A marker in the files and environment variables that no statement may read."""
WAIT = 9
"""Seconds for which whatever sleeps is asked to sleep: more than a statement may take."""
SUITES = {"postgres": ("tpch", "tpcds"), "mysql": ("tpch",), "duckdb": ("tpch", "tpcds")}

QUERIES = (
    "SELECT id, amount FROM orders WHERE status = 'paid' ORDER BY amount DESC LIMIT 3",
    (
        "SELECT c.country, count(*) AS n, sum(o.amount) FROM orders AS o JOIN customers AS c ON c.id = o.customer_id"
        " GROUP BY c.country HAVING count(*) > 0"
    ),
    "WITH paid AS (SELECT * FROM orders WHERE status = 'paid') SELECT p.id, upper(p.note) FROM paid AS p",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r LIMIT 9",
    "SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY amount DESC) AS place FROM orders",
    "SELECT CASE WHEN amount > 100 THEN 'big' WHEN amount IS NULL THEN NULL ELSE lower(status) END FROM orders",
    "SELECT * FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE amount BETWEEN 10 AND 200)",
    "SELECT name FROM customers AS c WHERE EXISTS (SELECT 1 FROM orders AS o WHERE o.customer_id = c.id)",
    "SELECT coalesce(note, 'none'), nullif(status, 'x'), abs(amount - 100) FROM orders",
    "SELECT id FROM orders UNION SELECT id FROM customers ORDER BY 1",
    "SELECT (SELECT max(amount) FROM orders AS i WHERE i.customer_id = o.customer_id) AS best FROM orders AS o",
    "SELECT DISTINCT status, length(status) FROM orders WHERE note LIKE '%a%' OR NOT status = 'void'",
    "SELECT a.id, b.id FROM orders AS a LEFT JOIN orders AS b ON a.id < b.id AND a.customer_id = b.customer_id",
    "SELECT CAST(amount AS DECIMAL(10, 1)), round(amount, 1), extract(YEAR FROM placed_at) FROM orders",
    "SELECT x.n, x.s FROM (SELECT 1 AS n, 'a' AS s UNION ALL SELECT 2, 'b') AS x WHERE x.n <> 3",
)
OWN_QUERIES = {
    "postgres": (
        "SELECT g, u FROM generate_series(1, 3) AS g, unnest(ARRAY['a', 'b']) AS u",
        "SELECT o.id, l.n FROM orders AS o, LATERAL (SELECT count(*) AS n FROM customers AS c WHERE c.id < o.id) AS l",
        "SELECT string_agg(note, ',' ORDER BY id) FILTER (WHERE id > 1), array_agg(id) FROM orders",
        "SELECT payload -> 'items' ->> 0, '{\"a\": 1}'::jsonb @> '{}' FROM orders",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM orders GROUP BY ROLLUP (status)",
        "SELECT DISTINCT ON (status) status, id FROM orders ORDER BY status, id DESC",
        "SELECT note || $$x$$ || E'\\n', interval '1 day' + placed_at, now() AT TIME ZONE 'UTC' FROM orders",
        "SELECT j.* FROM jsonb_to_recordset('[{\"a\": 1}]') AS j(a int)",
    ),
    "mysql": (
        "SELECT IF(amount > 100, 'big', 'small'), IFNULL(note, ''), CONCAT_WS('-', id, status) FROM orders",
        "SELECT GROUP_CONCAT(DISTINCT status ORDER BY status SEPARATOR ';') FROM orders",
        "SELECT DATE_ADD(placed_at, INTERVAL 1 DAY), DATE_FORMAT(placed_at, '%Y-%m') FROM orders",
        "SELECT `id`, \"text\", 'it''s', 0x41, b'1', TRUE FROM `orders` WHERE `id` <=> 1 LIMIT 1, 2",
        "SELECT j.a FROM JSON_TABLE('[1, 2]', '$[*]' COLUMNS (a INT PATH '$')) AS j",
        "SELECT status, COUNT(*) FROM orders GROUP BY status WITH ROLLUP",
        "SELECT CONVERT(note USING utf8mb4), CAST(id AS CHAR(5)), note REGEXP '^a', 7 DIV 2, 7 MOD 2 FROM orders",
    ),
    "duckdb": (
        "FROM orders SELECT id, * EXCLUDE (id) REPLACE (upper(status) AS status) WHERE id > 1",
        "SELECT list_transform([1, 2], lambda x: x + 1), {'a': 1}.a, [y * 2 for y in [1, 2] if y > 1], MAP {'k': 1}",
        "SELECT 'abc'.upper().lower(), id::VARCHAR, [1, 2, 3][1:2] FROM orders",
        "SELECT status, sum(amount) FROM orders GROUP BY ALL ORDER BY ALL QUALIFY row_number() OVER () < 3",
        "PIVOT orders ON status USING sum(amount)",
        "FROM range(3) AS r(a) POSITIONAL JOIN (VALUES (1), (2)) AS v(b)",
        "SELECT COLUMNS('i.*'), unnest([1, 2]) FROM orders TABLESAMPLE 50%",
        "SELECT struct_pack(a := 1, b := status), list_aggregate([1, 2], 'sum'), try_cast('x' AS INTEGER) FROM orders",
    ),
}
EXPRESSIONS = {
    "postgres": (
        "pg_sleep({wait})", "pwn('x')", "public.pwn('x')", "nextval('order_numbers')", "setval('order_numbers', 77)",
        "set_config('work_mem', '77MB', false)", "pg_advisory_lock(77)", "pg_read_file('canary.txt')", "lo_create(0)",
        "lo_unlink(4244)", "lo_put(4244, 0, 'y')", "pg_ls_dir('.')", "pg_notify('c', 'x')", "txid_current()",
        "query_to_xml('SELECT nextval(''order_numbers'')', true, false, '')", "(SELECT pwn('x'))", "o.pwn", "(o).pwn",
        "('x'::text).pwn", "'x'::trusted_text", "u.pwn", "g.pg_sleep", "r.pwn", "x.pwn", "p.pwn", "orders.pwn",
        "U&\"pg_\\0073leep\"({wait})", "ARRAY(SELECT pwn('x'))", "CAST(o AS text)", "o::text", "upper(o.note)",
        "dblink('SELECT 1')", "pg_logical_emit_message(true, 'a', 'b')", "pg_stat_reset()", "setseed(0.1)",
        "(ARRAY['x'])[length(pwn('x'))]", "'a' OPERATOR(pg_catalog.||) pwn('x')", "xmlelement(name a, pwn('x'))",
        "json_value('{\"a\":1}'::jsonb, '$.a' PASSING pwn('x') AS y)",
        "ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, ''b''::tsquery FROM nextval(''order_numbers'')')",
    ),
    "mysql": (
        "SLEEP({wait})", "pwn('x')", "`pwn`('x')", "NEXTVAL(order_numbers)", "SETVAL(order_numbers, 77)", "@a := 77",
        "NEXT VALUE FOR order_numbers", "GET_LOCK('x', 0)", "LOAD_FILE('{folder}/canary.txt')", "LAST_INSERT_ID(77)",
        "@a", "@@sql_mode",
        "BENCHMARK(900000000, MD5('x'))", "{fn pwn('x')}", "(SELECT pwn('x'))", "DEFAULT(order_lines.id)", "`now`()",
        "`upper`('x')", "_utf8mb4'x'", "INTERVAL pwn('1') DAY + NOW()", "CONVERT(pwn('x') USING utf8mb4)",
        "upper ('x')",
        "UUID_SHORT()", "MATCH(note) AGAINST (pwn('x'))", "(SELECT 1 INTO @a)", "BINARY pwn('x')", "max (1)",
        "NAME_CONST('a', 1)",
        "GROUP_CONCAT(pwn('x') ORDER BY pwn('y'))", "/*! pwn('x') */", "/*M! pwn('x') */ 1",
        "1 /*!50000 + SLEEP({wait}) */",
    ),
    "duckdb": (
        "getenv('OSIRIS_CANARY')", "'OSIRIS_CANARY'.getenv()", "nextval('order_numbers')", "'order_numbers'.nextval()",
        "currval('order_numbers')", "(FROM 'canary.csv')", "(SELECT a FROM \"canary.csv\")", "read_text('canary.csv')",
        "list_transform(['OSIRIS_CANARY'], lambda x: x.getenv())", "[getenv(x) for x in ['OSIRIS_CANARY']]",
        "setseed(0.1)",
        "{'a': getenv('OSIRIS_CANARY')}", "sleep_ms({wait}000)", "write_log('x')", "current_setting('threads')",
        "pwn(1)",
        "(SELECT content FROM read_text('canary.csv'))", "unnest([nextval('order_numbers')])",
        "COLUMNS(c -> nextval('order_numbers') > 0)",
        "json_serialize_plan('FROM ''canary.csv''')", "getvariable('x')", "list_aggregate(['x'], 'getenv')",
        "txid_current()",
        "(WITH RECURSIVE \"canary.csv\" AS (FROM \"canary.csv\") SELECT a FROM \"canary.csv\" LIMIT 1)",
        "(WITH RECURSIVE \"canary.csv\"(a) AS (SELECT a FROM \"canary.csv\" UNION SELECT 'x') FROM \"canary.csv\")",
    ),
}  # fmt: skip
RELATIONS = {
    "postgres": (
        "pwn('x') AS x", "pg_file_settings", "pg_hba_file_rules AS x", "LATERAL pwn('x') AS x",
        "ROWS FROM (pwn('x'), pg_sleep({wait})) AS x",
        "pg_ls_dir('.') AS o", "unnest(ARRAY['x']) AS o", "unnest(ARRAY['canary.txt']) AS u",
        "generate_series(9, 9) AS g", "pg_authid",
        "(SELECT * FROM orders FOR UPDATE) AS o", "(VALUES ('x')) AS o(pwn)", "dblink('SELECT 1') AS x(a int)",
        "order_numbers AS o", "ts_stat('SELECT pwn(''x'')') AS x",
        "json_to_record('{}') AS x(a trusted_text)", "orders TABLESAMPLE bernoulli (length(pwn('x')))",
        "orders AS pwn", "crosstab('SELECT pwn(''x'')') AS x(a int)",
    ),
    "mysql": (
        "orders PARTITION (p)", "mysql.user", "(SELECT pwn('x') AS id) AS o", "(SELECT * FROM orders FOR UPDATE) AS o",
        "(SELECT 1 INTO @a) AS o", "`order_numbers`",
        "JSON_TABLE(pwn('[1]'), '$[*]' COLUMNS (a INT PATH '$')) AS j", "(VALUES (pwn('x'))) AS o", "seq_1_to_9",
        "(SELECT @a := 77) AS o", "information_schema.processlist",
        "orders LOCK IN SHARE MODE", "orders FOR SYSTEM_TIME AS OF pwn('x')", "orders USE INDEX (x)", "dual",
        "JSON_TABLE(LOAD_FILE('{folder}/canary.txt'), '$[*]' COLUMNS (a INT PATH '$')) AS j",
    ),
    "duckdb": (
        "'canary.csv'", "\"canary.csv\"", "read_csv('canary.csv')", "read_text('canary.csv')", "glob('*')",
        "main.\"canary.csv\"", "query('FROM ''canary.csv''')", "'canary.csv' AS orders",
        "query_table('canary.csv')", "duckdb_settings()", "(FROM 'canary.csv')", "sniff_csv('canary.csv')",
        "range(nextval('order_numbers'))", "(DESCRIBE 'canary.csv')", "(SUMMARIZE \"canary.csv\")",
        "(PIVOT 'canary.csv' ON a USING count(*))",
        "json_execute_serialized_sql(json_serialize_sql('FROM ''canary.csv'''))", "checkpoint()", "enable_logging()",
        "repeat_row(1, num_rows = 2)", "unnest([getenv('OSIRIS_CANARY')])",
        "(WITH RECURSIVE \"canary.csv\" AS (FROM \"canary.csv\") FROM \"canary.csv\")",
        "(WITH \"canary.csv\" AS (SELECT 1) FROM \"canary.csv\")", "pragma_table_info('orders')",
        "(INSERT INTO orders DEFAULT VALUES RETURNING id)",
    ),
}  # fmt: skip
TAILS = {
    "postgres": (" FOR UPDATE", " FOR SHARE SKIP LOCKED", "; DELETE FROM orders", " LIMIT length(pwn('x'))",
        " ORDER BY pwn('x')", " OFFSET (SELECT nextval('order_numbers'))",
                 " INTO x", " --\r; DELETE FROM orders", " FETCH FIRST 1 ROW WITH TIES",
                 " UNION ALL SELECT 1 FROM orders FOR UPDATE", " WINDOW w AS (ORDER BY pwn('x'))", ";"),
    "mysql": (" FOR UPDATE", " LOCK IN SHARE MODE", "; DELETE FROM orders", " INTO OUTFILE '{folder}/x77'", " INTO @a",
        " INTO DUMPFILE '{folder}/x78'", " PROCEDURE ANALYSE()", " ORDER BY SLEEP({wait})", " LIMIT 1 INTO @a, @b",
              " /*! FOR UPDATE */", " /*M! INTO @a */", " --1; DELETE FROM orders", " #\n", " LIMIT 1 OFFSET 0", ";",
              " UNION (SELECT 1 INTO @a)", " RETURNING id"),
    "duckdb": ("; ATTACH '{folder}/x77.db'", "; COPY orders TO '{folder}/x77.csv'", " LIMIT nextval('order_numbers')",
        " ORDER BY nextval('order_numbers')", " QUALIFY nextval('order_numbers') > 0", " USING SAMPLE 1 ROWS",
        " UNION ALL BY NAME FROM 'canary.csv'",
               "; SET threads = 1", " INTO x", " LIMIT 10%", ";", " -- \r; SET VARIABLE x = 1",
               " LIMIT (SELECT count(*) FROM 'canary.csv')", " FOR UPDATE"),
}  # fmt: skip
WRAPPERS = {
    "every": ("SELECT * FROM ({0}) AS w", "SELECT EXISTS ({0}) AS w", "WITH w AS ({0}) SELECT * FROM w", "({0})",
        "{0} UNION ALL {0}", "SELECT 1 WHERE 1 IN ({0})", "WITH orders AS ({0}) SELECT * FROM orders",
              "SELECT ({0})", "WITH RECURSIVE orders AS ({0}) SELECT * FROM orders",
              "WITH RECURSIVE w(a) AS (SELECT 1 UNION ({0})) SELECT * FROM w", "EXPLAIN {0}",
              "CREATE TABLE x77 AS {0}", "INSERT INTO touched {0}",
              "SELECT 1 FROM ({0}) AS orders, (SELECT 2 AS n) AS w", "({0}) EXCEPT ({0})"),
    "postgres": ("EXPLAIN ANALYZE {0}", "COPY ({0}) TO STDOUT",
        "WITH w AS MATERIALIZED ({0}), d AS (DELETE FROM orders RETURNING *) SELECT * FROM w", "SELECT ARRAY({0})",
        "DECLARE c CURSOR WITH HOLD FOR {0}", "PREPARE p AS {0}", "DO $$BEGIN PERFORM ({0}); END$$"),
    "mysql": ("ANALYZE {0}", "PREPARE p FROM '{0}'", "SET @a = ({0})", "DO ({0})",
        "SET STATEMENT max_statement_time = 1 FOR {0}", "/*! {0} */", "EXECUTE IMMEDIATE '{0}'",
        "BEGIN NOT ATOMIC {0}; END", "HANDLER orders OPEN", "CALL tidy()"),
    "duckdb": ("DESCRIBE {0}", "SUMMARIZE {0}", "COPY ({0}) TO '{folder}/x77.csv'", "FROM ({0})", "PREPARE p AS {0}",
        "CREATE VIEW x77 AS {0}", "SET VARIABLE x = ({0})", "PIVOT ({0}) ON status USING count(*)",
        "FROM query($q$ {0} $q$)", "SELECT ARRAY({0})"),
}  # fmt: skip
COMMENTS = {
    "every": ("/* x */", "/**/", "-- x\n", "\t", "\n", "/* ; DELETE FROM orders */", "/* ' */", '/* " */', "/* $$ */"),
    "postgres": ("/* /* */ */", "--\n", "--;\r\n", "/*+ SeqScan(orders) */", "\f"),
    "mysql": ("#x\n", "/*!*/", "/*! x */", "/*+ MAX_EXECUTION_TIME(0) */", "--\t\n", "/*M!*/",
        "/*+ SET_VAR(sql_mode='') */"),
    "duckdb": ("/* /* */ */", "--\n", "#x\n", "--;\r\n"),
}  # fmt: skip
OBJECTS = {
    "postgres": (
        "CREATE TABLE touched (by text)",
        "CREATE FUNCTION pwn(text) RETURNS text LANGUAGE sql AS 'INSERT INTO touched VALUES ($1) RETURNING by'",
        "CREATE FUNCTION pwn(integer) RETURNS text LANGUAGE sql AS 'INSERT INTO touched VALUES ($1) RETURNING by'",
        "CREATE FUNCTION pwn(orders) RETURNS text LANGUAGE sql AS 'INSERT INTO touched VALUES (''row'') RETURNING by'",
        "CREATE DOMAIN trusted_text AS text CHECK (length(pwn(VALUE)) > 0)",
        "CREATE SEQUENCE order_numbers",
        "SELECT nextval('order_numbers')",
        "SELECT lo_from_bytea(4244, 'x')",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION tablefunc",
        "CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM orders'",
    ),
    "mysql": (
        "CREATE TABLE touched (note varchar(100))",
        (
            "CREATE FUNCTION pwn(x text) RETURNS text MODIFIES SQL DATA"
            " BEGIN INSERT INTO touched VALUES (x); RETURN x; END"
        ),
        (
            "CREATE FUNCTION `now`() RETURNS text MODIFIES SQL DATA"
            " BEGIN INSERT INTO touched VALUES ('now'); RETURN ''; END"
        ),
        (
            "CREATE FUNCTION `upper`(x text) RETURNS text MODIFIES SQL DATA"
            " BEGIN INSERT INTO touched VALUES ('upper'); RETURN x; END"
        ),
        (
            "CREATE FUNCTION `max`(x int) RETURNS int MODIFIES SQL DATA"
            " BEGIN INSERT INTO touched VALUES ('max'); RETURN x; END"
        ),
        "CREATE SEQUENCE order_numbers",
        "CREATE TABLE order_lines (id int DEFAULT nextval(order_numbers))",
        "INSERT INTO order_lines VALUES (1)",
        "CREATE PROCEDURE tidy() DELETE FROM orders",
    ),
    "duckdb": (
        "CREATE TABLE touched (note VARCHAR)",
        "CREATE SEQUENCE order_numbers",
        "SELECT nextval('order_numbers')",
        "CREATE MACRO pwn(x) AS nextval('order_numbers')",
        "ALTER TABLE orders ADD COLUMN note VARCHAR",
        "ALTER TABLE orders ADD COLUMN placed_at TIMESTAMP",
    ),
}
ARGUMENTS = (
    "", "1", "'x'", "1, 1", "'x', 'x'", "NULL", "'a', 1", "1, 'a', 1", "'orders'", "id", "note", "*",
    "'order_numbers'", "4244",
    "'canary.txt'", "'canary.csv'", "ARRAY['x']", "'x', 'y', 'z'", "note, id", "DISTINCT id", "now()", "1, 2, 3",
    "'x', true", "0.5",
)  # fmt: skip
SHAPES = (
    "SELECT {0}({1}) FROM orders", "SELECT {0}({1})", "SELECT * FROM {0}({1}) AS t",
    "SELECT {0}({1}) OVER () FROM orders", "SELECT id FROM orders ORDER BY {0}({1})",
    'SELECT "{0}"({1})', "SELECT o.{0} FROM orders AS o", "SELECT t.{0} FROM (SELECT 'x' AS a) AS t",
    "SELECT `{0}`({1})", "SELECT ({1}).{0}()", "SELECT max({0}({1})) FROM orders", "SELECT {0}",
    "SELECT count({0}({1})) FROM orders GROUP BY id",
)  # fmt: skip
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\w+|\s+|[^\w\s]")
_WORD = re.compile(r"[A-Za-z_]\w*\Z")
_KEYWORDS = frozenset(
    [
        "select",
        "from",
        "where",
        "group",
        "by",
        "order",
        "having",
        "limit",
        "union",
        "all",
        "with",
        "recursive",
        "as",
        "on",
        "join",
        "left",
        "inner",
        "case",
        "when",
        "then",
        "else",
        "end",
        "and",
        "or",
        "not",
        "in",
        "exists",
        "between",
        "is",
        "null",
        "like",
        "distinct",
        "over",
        "partition",
        "interval",
        "cast",
        "extract",
        "year",
    ]
)


class Mutator:
    """Generates statements of one dialect.

    `functions` are the names of all functions of the server; `folder` is the folder of its files.
    """

    def __init__(self, dialect: str, seed: int, functions: list[str], folder: str = ".") -> None:
        self.dialect, self.random = dialect, random.Random(f"{dialect} {seed}")
        self.functions, self.folder = sorted(functions), folder
        self.queries = [*QUERIES, *OWN_QUERIES[dialect], *OWN_QUERIES[dialect], *self._benchmarks()]
        self._ways = (
            self._expression, self._expression, self._relation, self._function, self._wrap, self._tail, self._comment,
            self._quote, self._case, self._swap, self._repeat, self._drop, self._splice, self._dotted, self._called,
        )  # fmt: skip

    def _benchmarks(self) -> list[str]:
        files = [path for suite in SUITES[self.dialect] for path in sorted((HERE / suite).glob("*.sql"))]
        texts = [words_of(self.dialect, path.read_text("utf-8")) for path in self.random.sample(files, 12)]
        return [re.sub(r"\s+", " ", text) for text in texts]

    def statements(self, count: int) -> Iterator[str]:
        """Return that many statements; every third calls a function of the server in some way."""
        for number in range(count):
            text = self._call() if number % 3 == 2 else self._mutated()
            yield text.replace("{folder}", self.folder)

    def calls(self) -> Iterator[str]:
        """Yield each function of the server in each call form once, each time with other arguments."""
        for number, name in enumerate(self.functions):
            for place, shape in enumerate(SHAPES):
                yield shape.format(name, ARGUMENTS[(number + place) % len(ARGUMENTS)])
            for arguments in ARGUMENTS:
                yield SHAPES[0].format(name, arguments)
                yield SHAPES[2].format(name, arguments)

    def _mutated(self) -> str:
        text = self.random.choice(self.queries)
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 3, 5))):
            text = self.random.choice(self._ways)(text)
        return text[:20000]

    def _call(self) -> str:
        text = self.random.choice(SHAPES).format(self.random.choice(self.functions), self.random.choice(ARGUMENTS))
        return self.random.choice((self._wrap, self._comment, self._case, self._relation, str, str))(text)

    def _pick(self, pieces: tuple[str, ...]) -> str:
        return self.random.choice(pieces).replace("{wait}", str(WAIT))

    def _replaced(self, text: str, wanted, piece) -> str:
        """Replace one of the tokens of a kind by another piece."""
        tokens = _TOKEN.findall(text)
        places = [place for place, token in enumerate(tokens) if wanted(tokens, place, token)]
        if places:
            place = self.random.choice(places)
            tokens[place] = piece(tokens[place])
        return "".join(tokens)

    def _expression(self, text: str) -> str:
        def value(tokens, place, token):
            name = _WORD.match(token) and token.lower() not in _KEYWORDS and tokens[place + 1 : place + 2] != ["("]
            return token.isdigit() or token[0] == "'" or bool(name)

        return self._replaced(text, value, lambda _: self._pick(EXPRESSIONS[self.dialect]))

    def _relation(self, text: str) -> str:
        def behind_from(tokens, place, token):
            before = [word.lower() for word in tokens[max(0, place - 2) : place] if word.strip()]
            return _WORD.match(token) and before[-1:] in (["from"], ["join"])

        return self._replaced(text, behind_from, lambda _: self._pick(RELATIONS[self.dialect]))

    def _function(self, text: str) -> str:
        def called(tokens, place, token):
            return _WORD.match(token) and tokens[place + 1 : place + 2] == ["("] and token.lower() not in _KEYWORDS

        return self._replaced(text, called, lambda _: self.random.choice(self.functions))

    def _wrap(self, text: str) -> str:
        wrapper = self.random.choice(WRAPPERS["every"] * 2 + WRAPPERS[self.dialect])
        return wrapper.replace("{0}", text)

    def _tail(self, text: str) -> str:
        return text + self._pick(TAILS[self.dialect])

    def _comment(self, text: str) -> str:
        pieces = COMMENTS["every"] + COMMENTS[self.dialect]
        return self._replaced(text, lambda _t, _p, token: token.isspace(), lambda _: self.random.choice(pieces) + " ")

    def _quote(self, text: str) -> str:
        def quoted(name):
            mark = self.random.choice('"`"')
            inner = self.random.choice((name, name, name.upper(), name.lower()))
            return self.random.choice(
                (mark + inner + mark, f'U&"{inner}"', f"[{inner}]", f"main.{inner}", f"'{inner}'")
            )

        return self._replaced(text, lambda _t, _p, token: _WORD.match(token), quoted)

    def _case(self, text: str) -> str:
        return "".join(self.random.choice((letter.upper(), letter.lower())) for letter in text)

    def _swap(self, text: str) -> str:
        tokens = _TOKEN.findall(text)
        one, other = self.random.randrange(len(tokens)), self.random.randrange(len(tokens))
        tokens[one], tokens[other] = tokens[other], tokens[one]
        return "".join(tokens)

    def _repeat(self, text: str) -> str:
        return self._replaced(text, lambda *_: True, lambda token: f"{token} {token}")

    def _drop(self, text: str) -> str:
        return self._replaced(text, lambda *_: True, lambda _: " ")

    def _splice(self, text: str) -> str:
        """Put a query in parentheses in the place of a value or a name."""
        inner = self.random.choice(self.queries[: len(QUERIES)])
        return self._replaced(text, lambda _t, _p, token: token.isdigit() or _WORD.match(token), lambda _: f"({inner})")

    def _dotted(self, text: str) -> str:
        name = self.random.choice([*self.functions, "pwn", "pwn()", "pwn('x')"])
        return self._replaced(text, lambda _t, _p, token: _WORD.match(token), lambda token: f"{token}.{name}")

    def _called(self, text: str) -> str:
        name = self.random.choice(self.functions)
        return self._replaced(text, lambda _t, _p, token: _WORD.match(token), lambda token: f"{name}({token})")
