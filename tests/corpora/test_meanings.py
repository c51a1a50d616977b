"""Accepted SQL keeps its meaning: literals, casts and adjacent operators, evaluated by the engine itself.

The engine evaluates each expression as written and as regenerated from the checked tree. One that the engine rejects
may be rejected here, or by the engine again; it may not be given a meaning. `.5` is left out: it is regenerated as
`0.5`, whose type has one digit more in DuckDB.
"""

import itertools
import random
import re
from collections import Counter

import duckdb
import pytest
from tests.chance import draw_seed
from tests.corpora.servers import check, place

SPANS = (
    *("1 day", "-1 day", "+1 day", "- 1 day", "1day", "2 DAYS", " 3  days ", "1.5 days", "1 mon", "1 min", "1 yr"),
    *("1 week", "90 seconds", "1 day 02:03:04", "1 day -02:00:00", "2 hours ago", "1 year 2 months", "04:05:06", "1"),
    *("1,000 days", "1 hour 30", "1 month 3 days 04:05:06.7", "1-2", "P1Y2M", "1 day 1", "", "day"),
)
LITERALS = {
    "DATE": ("2024-01-31",),
    "TIMESTAMP": ("2024-03-10 00:30:00", "2024-03-10 23:59:59.7"),
    "TIMESTAMPTZ": ("2024-03-10 00:30:00+02", "2024-03-10 23:30:00-05"),
    "TIME": ("10:20:30.5",),
    "NUMERIC": ("1.50",),
    "INTEGER": ("7",),
}
CASTS = ("date", "timestamp", "timestamptz", "text", "varchar(4)", "time", "integer", "numeric(4,1)")
NUMBERS = (
    *("1", "1.", "1.5", "1e3", "1E-2", "1.e2", "1_000", "0x1F", "0b11", "0o17", "12abc", "1e", "0x", "1a", "007"),
    *("1e3-1", "-1", "- 1", "+1", "1 1", "9223372036854775808", "1.50"),
)
COMPARED = ("= 1", "<> 1", "< 1", ">= 0", "IS NULL", "IS NOT NULL", "IN (1)", "NOT IN (0)", "BETWEEN 0 AND 1", "LIKE 1")
COUNTED = ("+ 2", "- 3", "* 2", "/ 2", "% 2", "& 3", "| 4", "<< 1", ">> 1", "^ 2")
OF = {
    "duckdb": {
        "compared": ("IS DISTINCT FROM 1", "IS TRUE"),
        "counted": ("// 2", "|| 1", "** 2", "::VARCHAR", "::DOUBLE", "IS NULL"),
        "signs": ("-", "+", "~", "NOT ", "- -", "@"),
    },
    "postgres": {
        "compared": ("IS DISTINCT FROM 1", "IS TRUE"),
        "counted": ("|| 1", "# 2", "::text", "::float8", 'COLLATE "C"'),
        "signs": ("-", "+", "~", "NOT ", "- -", "@ "),
    },
    "mysql": {
        "compared": ("<=> 1", "IS TRUE", "REGEXP 1"),
        "counted": ("DIV 2", "MOD 2", "XOR 1", "|| 1", "AND 0", "OR 1"),
        "signs": ("-", "+", "~", "NOT ", "! ", "- -"),
    },
}


def literals(dialect):
    """Yield intervals, typed literals and numbers, each with everything that may follow it."""
    yield from NUMBERS
    if dialect == "mysql":
        for kind, texts in itertools.islice(LITERALS.items(), 3):
            yield from (f"{kind} '{text}'{more}" for text in texts for more in ("", " + INTERVAL 1 DAY", " = 1"))
        return
    for text in SPANS:
        spelled = (f"INTERVAL '{text}'", f"INTERVAL '{text}' DAY", f"'{text}'::INTERVAL", f"INTERVAL '{text}'::text")
        yield from spelled
        yield from (f"TIMESTAMP '2024-01-31 00:00:00' {each} {span}" for span in spelled[:3] for each in "+-")
        yield from (f"{span} {more}" for span in spelled[:2] for more in ("+ 1", "* 2", "+ INTERVAL '1 hour'"))
    for kind, texts in LITERALS.items():
        for text, cast in itertools.product(texts, CASTS):
            yield f"{kind} '{text}'::{cast}"
            yield f"{kind} '{text}'::{cast}::text LIKE '2%'"
            yield f"CAST({kind} '{text}' AS {cast})"
            yield f"{kind} '{text}'::{cast} AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York'"


def operators(dialect):
    """Yield two and three adjacent operators, and signs before them."""
    more = OF[dialect]
    for one, two in itertools.product((*COMPARED, *more["compared"]), repeat=2):
        yield from (f"{before}{value} {one} {two}" for before in ("", "NOT ") for value in ("0", "1", "NULL"))
    for one, two, three in itertools.product((*COUNTED, *more["counted"]), repeat=3):
        yield f"5 {one} {two} {three}"
    for sign, one, two in itertools.product(more["signs"], (*COUNTED, *more["counted"]), (*COMPARED, *COUNTED)):
        yield f"{sign}5 {one} {two}"


def names(dialect):
    """Yield each keyword as the quoted name of a column, in selecting, grouping, window functions and sorting."""
    with duckdb.connect() as connection:
        words = {word for (word,) in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall()}
    quote = "`" if dialect == "mysql" else '"'
    for word in sorted({*words, "ALL", "rowid"}):
        name = f"{quote}{word}{quote}"
        rows = f"(SELECT 2 AS {name}, 1 AS b UNION ALL SELECT 1 AS {name}, 3 AS b) AS t"
        yield f"(SELECT b FROM {rows} ORDER BY {name} LIMIT 1)"
        yield f"(SELECT max(b) FROM {rows} WHERE t.{name} > 0 GROUP BY t.{name} ORDER BY t.{name} LIMIT 1)"
        numbered = f"SELECT b, row_number() OVER (PARTITION BY b > 0 ORDER BY {name}) AS n FROM {rows}"
        yield f"(SELECT sum(b * n) FROM ({numbered}) AS u)"


@pytest.fixture(params=["duckdb", "postgres", "mysql"])
def engine(request):
    """Return the name of a dialect, and a function with its engine's value of an expression;

    None if the engine rejects it.
    """
    if request.param == "duckdb":
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")

            def ask(text):
                try:
                    found = connection.execute(text)
                    return repr(([str(column[1]) for column in found.description], found.fetchall()))
                except (duckdb.Error, OverflowError):
                    return None

            yield request.param, ask
        return
    server = request.getfixturevalue("postgres" if request.param == "postgres" else "mariadb")
    with place(request.param, server) as made:
        if request.param == "postgres":
            made.connection.autocommit = True
            made.run("SET TimeZone = 'UTC'")

        def ask(text):
            found = made.run(text)
            return (
                None if isinstance(found, str) else repr((found[1], [type(each) for row in found[1] for each in row]))
            )

        yield request.param, ask


def tried(engine, expressions):
    """Return the expressions whose meaning changed, and how often the engine gave a value."""
    dialect, ask = engine
    texts = [f"SELECT {each} AS x" for each in expressions]
    wrong, count = [], Counter()
    for text, verdict in zip(texts, check(dialect, texts), strict=True):
        if not verdict["ok"]:
            count["refused"] += 1
            continue
        written, canonical = ask(text), ask(verdict["canonical"])
        count["answered" if written is not None else "refused by the engine"] += 1
        if canonical is None and written is not None:
            count["refused by the engine as it is regenerated"] += 1
        elif written != canonical:
            wrong.append(f"{text}\n  {verdict['canonical']!r}\n  written   {written}\n  canonical {canonical}")
    print(dialect, dict(count))
    assert count["answered"] > len(texts) // 10
    return wrong


def test_literals_mean_what_was_written(engine):
    wrong = tried(engine, list(literals(engine[0])))
    assert not wrong, "\n".join(wrong)


def test_operators_mean_what_was_written(engine):
    every = list(operators(engine[0]))
    wrong = tried(engine, random.Random(draw_seed()).sample(every, 1_000))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("some", [200, pytest.param(None, marks=pytest.mark.long)])
def test_a_quoted_keyword_is_a_name(engine, some):
    every = list(names(engine[0]))
    known = [text for text in every if re.search(r"[`\"]all[`\"]", text, re.IGNORECASE)]
    wrong = tried(engine, every if some is None else [*known, *random.Random(draw_seed()).sample(every, some)])
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_all_operators_mean_what_was_written(engine):
    wrong = tried(engine, list(operators(engine[0])))
    assert not wrong, "\n".join(wrong)
