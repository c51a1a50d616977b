"""The source columns of each output: stated for small cases, and verified by the engine for them and for the corpus."""

from __future__ import annotations

import functools
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from sqlglot import exp

from osiris.sql.check_text import check
from osiris.sql.lineage.flow import Flow
from osiris.sql.lineage.flow_reader import flow_of
from osiris.sql.lineage.lineage import trace, used
from osiris.sql.safety.dialects import DIALECTS
from osiris.sql.safety.tree import deep_recursion, parse

CASES = Path(__file__).parent / "data" / "lineage.sql"
CORPORA = Path(__file__).parents[2] / "corpora"
TABLES = """
SELECT setseed(0.5);
CREATE TABLE t AS SELECT i % 7 AS id, (random() * 4)::INT AS a, (random() * 4)::INT AS b, (random() * 9)::INT AS c,
  {'p': (random() * 9)::INT, 'q': i % 3} AS s, [i % 3, (random() * 9)::INT] AS xs, ['v' || i % 4, 'w'] AS tags
  FROM range(20) AS r(i);
CREATE TABLE u AS SELECT i % 5 AS id, (random() * 4)::INT AS a, (random() * 6)::INT AS k, (random() * 4)::INT AS b
  FROM range(12) AS r(i);
CREATE TABLE v AS SELECT i AS id, (random() * 5)::INT AS z, DATE '2024-01-01' + (i * 90)::INT AS d,
  json_object('x', (random() * 9)::INT)::JSON AS j FROM range(6) AS r(i);
"""


REFUSED = ("[3] IF x > 1]", "45.25)::INT", "(payload)->")
"""Parts of the texts of the corpus that the check refuses, because its parser reads them as something else."""


class Engine:
    """The tables of one script, and the same with fewer columns or with other values in some."""

    def __init__(self, script):
        self.full = duckdb.connect()
        self.full.execute("SET threads = 1")
        self.full.execute(script)
        names = self.full.execute("SELECT table_name FROM information_schema.tables").fetchall()
        self.columns = {name: self.full.sql(f"FROM {name}").columns for (name,) in names}
        self.full.execute("CREATE SCHEMA lean; CREATE SCHEMA other")
        self.made = {}

    def make(self, schema, relation, keep):
        """Tables in `lean` have only these columns, those in `other` have their rows of all others mixed up."""
        if self.made.get((schema, relation)) == keep:
            return
        self.made[schema, relation] = keep
        columns = [name for name in self.columns[relation] if schema == "other" or name in keep]
        listed = [f'l."{name}"' if name in keep else f'r."{name}"' for name in columns]
        mixed = f"SELECT * FROM (SELECT *, row_number() OVER () AS _n FROM main.{relation}) ORDER BY hash(_n)"
        self.full.execute(
            f"CREATE OR REPLACE TABLE {schema}.{relation} AS SELECT {', '.join(listed)} FROM main.{relation} AS l "
            f"POSITIONAL JOIN ({mixed}) AS r"
        )

    def ask(self, text, schema="main"):
        self.full.execute(f"USE {schema}")
        try:
            relation = self.full.sql(text)
            return relation.columns, relation.types, repr(relation.fetchall())
        finally:
            self.full.execute("USE main")


@pytest.fixture(scope="module")
def small_engine():
    return Engine(TABLES)


@functools.cache
def flow_of_text(text):
    """Return the flow of a text, as read back from its stored form."""
    verdict = check(text, "duckdb", relations=None)
    assert verdict.ok, (text, verdict.diagnostics)
    flow = Flow.from_json(json.loads(json.dumps(verdict.flow.to_json())))
    assert flow == verdict.flow
    return verdict, flow


def shown(lineage):
    """Return one line: each output with its columns (`:kind` unless copied), then those of the rows, then the rest."""
    outputs = [
        f"{name}={','.join(f'{o.relation}.{o.column}' + (f':{o.kind}' if o.kind != 'copy' else '') for o in origins)}"
        for name, origins in lineage.columns.items()
    ]
    rest = [" ".join(".".join(key) for key in keys) for keys in (lineage.rows, lineage.mentioned)]
    return " | ".join([" ".join(outputs), *rest]).rstrip(" |")


def cases():
    lines = [line for line in CASES.read_text(encoding="utf-8").splitlines() if line]
    return list(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize(("text", "expected"), cases(), ids=[text for text, _ in cases()])
def test_the_lineage_of_a_case(small_engine, text, expected):
    _, flow = flow_of_text(text)
    names = small_engine.full.sql(text).columns
    assert shown(trace(flow, small_engine.columns, names)) == expected.removeprefix("-- ")


def wrong_with_less(engine, text):
    """Return what changes if only the used columns exist, or if all others have other values; and how many."""
    verdict, flow = flow_of_text(text)
    columns, types, rows = engine.ask(verdict.canonical)
    needed = used(trace(flow, engine.columns, columns))
    unused = sum(len(engine.columns[relation]) - len(needed.get(relation, ())) for relation in verdict.relations)
    if not unused:
        return None, 0
    for relation in verdict.relations:
        keep = needed.get(relation, set())
        assert keep <= set(engine.columns[relation])
        engine.make("lean", relation, keep or {engine.columns[relation][0]})
        engine.make("other", relation, keep)
    try:
        found = [engine.ask(verdict.canonical, schema) for schema in ("lean", "other")]
    except duckdb.Error as error:
        return f"{text}: {needed}: {error}", unused
    same = all(each == (columns, types, rows) for each in found)
    return None if same else f"{text}: {needed}: {rows} {found}", unused


def test_no_case_depends_on_an_unused_column(small_engine):
    found = [wrong_with_less(small_engine, text) for text, _ in cases()]
    assert [wrong for wrong, _ in found if wrong] == []
    assert sum(unused for _, unused in found) > 200


def test_no_query_of_the_corpus_depends_on_an_unused_column():
    engine = Engine((CORPORA / "duckdb_tables.sql").read_text(encoding="utf-8"))
    lines = (CORPORA / "duckdb_queries.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["sql"] for line in lines]
    found = [wrong_with_less(engine, text) for text in texts if not any(part in text for part in REFUSED)]
    assert len(found) > 300
    assert [wrong for wrong, _ in found if wrong] == []
    assert sum(unused for _, unused in found) > 1000


class Writer:
    """Writes valid queries, because it tracks the columns of everything it names."""

    def __init__(self, seed, columns):
        self.random = random.Random(seed)
        self.columns = {
            name: [c for c in listed if c not in ("s", "xs", "tags", "j", "d")] for name, listed in columns.items()
        }
        self.made = 0

    def query(self, depth):
        """A text and the names of its columns."""
        pick = self.random.choice
        if depth and self.random.random() < 0.3:
            (left, names), (right, others) = self.query(depth - 1), self.query(depth - 1)
            count = min(len(names), len(others))
            cut = ", ".join(f"n{place}" for place in range(count))
            halves = [f"SELECT {cut} FROM ({half}) AS h({cut})" for half in (left, right)]
            return f" {pick(['UNION ALL', 'UNION', 'EXCEPT', 'INTERSECT'])} ".join(halves), cut.split(", ")
        sources = [self.source(depth) for _ in range(pick([1, 1, 2, 3]))]
        sight = [f"{alias}.{name}" for _, alias, names in sources for name in names]
        text, first = sources[0][0], sources[0]
        for source, alias, names in sources[1:]:
            kind = pick(["JOIN", "LEFT JOIN", "FULL JOIN"])
            text += f" {kind} {source} ON {alias}.{pick(names)} = {first[1]}.{pick(first[2])}"
        outputs, names = self.outputs(sources, sight)
        where = f" WHERE {self.condition(sight, depth)}" if self.random.random() < 0.5 else ""
        order = f" ORDER BY {pick(['1', 'ALL', pick(sight)])}" if self.random.random() < 0.3 else ""
        return f"SELECT {', '.join(outputs)} FROM {text}{where}{order}", names

    def source(self, depth):
        self.made += 1
        alias = f"q{self.made}"
        if not depth or self.random.random() < 0.4:
            relation = self.random.choice(sorted(self.columns))
            return f"{relation} AS {alias}", alias, self.columns[relation]
        text, names = self.query(depth - 1)
        if self.random.random() < 0.3:
            return f"(WITH w AS ({text}) SELECT * FROM w) AS {alias}", alias, names
        return f"({text}) AS {alias}", alias, names

    def outputs(self, sources, sight):
        pick = self.random.choice
        if len(sources) == 1 and self.random.random() < 0.5:
            _, alias, names = sources[0]
            gone = pick(names) if len(names) > 1 else None
            shape = pick([f"{alias}.* EXCLUDE ({gone})", "*"]) if gone else "*"
            return [shape], [name for name in names if shape == "*" or name != gone]
        forms = ("{} + {}", "coalesce({}, {})", "CASE WHEN {} > 2 THEN {} END", "sum({}) OVER (PARTITION BY {})")
        names = [f"c{place}" for place in range(self.random.randint(1, 3))]
        plain = [pick(("{}", *forms)).format(pick(sight), pick(sight)) for _ in names]
        return [f"{value} AS {name}" for value, name in zip(plain, names, strict=True)], names

    def condition(self, sight, depth):
        pick = self.random.choice
        if depth and self.random.random() < 0.5:
            text, names = self.query(0)
            inner = f"(SELECT i.{pick(names)} FROM ({text}) AS i WHERE i.{pick(names)} <> {pick(sight)})"
            return pick([f"EXISTS {inner}", f"{pick(sight)} NOT IN {inner}"])
        return f"{pick(sight)} {pick(['>', '=', '<>'])} {pick(sight)}"


def test_no_query_at_all_depends_on_an_unused_column(small_engine):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    writer = Writer(seed, small_engine.columns)
    found = [wrong_with_less(small_engine, writer.query(place % 3)[0]) for place in range(60)]
    assert [wrong for wrong, _ in found if wrong] == []
    assert sum(unused for _, unused in found) > 60


def test_an_output_is_called_as_the_engine_calls_it(small_engine):
    """Except for case, if it is a plain name; names that only the engine knows are passed in."""
    told_by_text = 0
    for text, _ in cases():
        if any(part in text for part in ("COLUMNS('", "unnest(", "s.*")):
            continue
        _, flow = flow_of_text(text)
        names = list(dict.fromkeys(name.lower() for name in small_engine.full.sql(text).columns))
        assert [name.lower() for name in trace(flow, small_engine.columns).columns] == names, text
        told_by_text += 1
    assert told_by_text > 70


def lineage_of(text, schemas, names=None):
    return trace(flow_of_text(text)[1], schemas, names)


def test_relations_are_found_whatever_their_case_and_told_as_they_are_spelled():
    lineage = lineage_of("SELECT TOTAL FROM ORDERS", {"Orders": ["id", "Total"]}, ["Total"])
    assert shown(lineage) == "Total=Orders.Total"


def test_an_output_without_a_name_is_told_by_its_place():
    assert shown(lineage_of("SELECT a, b + 1 FROM t", {"t": ["a", "b"]})) == "a=t.a #2=t.b:value"


def test_outputs_that_share_a_name_lose_nothing():
    lineage = lineage_of("SELECT * FROM t, u", {"t": ["a"], "u": ["a"]})
    assert shown(lineage) == "a=t.a,u.a"


def test_a_name_that_is_found_nowhere_may_be_any_column():
    """This does not happen for a text that the engine has bound; if it did, no column would be lost."""
    lineage = lineage_of("SELECT a FROM t WHERE nowhere > 1", {"t": ["a", "b"], "u": ["k"]})
    assert used(lineage) == {"t": {"a", "b"}}


def test_a_name_that_cannot_be_told_from_the_fields_of_a_struct_is_both():
    text = "SELECT (SELECT max(p) FROM (SELECT unnest(s) FROM t)) AS m FROM (SELECT k AS p FROM u)"
    assert used(lineage_of(text, {"t": ["s"], "u": ["k"]})) == {"t": {"s"}, "u": {"k"}}


def nested(levels):
    tree = exp.select("a").from_("t")
    for level in range(levels):
        inner = exp.Subquery(this=tree, alias=exp.TableAlias(this=exp.to_identifier(f"q{level}")))
        tree = exp.Select(expressions=[exp.column("a")], from_=exp.From(this=inner))
    return tree


LARGE = {
    "branches": ("\nUNION ALL ".join(f"SELECT a, b FROM t{i}" for i in range(1000)), 2000),
    "columns": (f"SELECT {', '.join(f'c{i} + 1 AS d{i}' for i in range(1000))} FROM wide ORDER BY 1000", 1000),
    "operands": (f"SELECT {' + '.join(['a'] * 2000)} AS x FROM t1", 1),
    "joins": ("SELECT t0.b FROM t0 " + " ".join(f"JOIN t{i} USING (a)" for i in range(1, 200)), 201),
    "stars": (
        f"WITH q0 AS (FROM wide), {', '.join(f'q{i} AS (FROM q{i - 1})' for i in range(1, 90))} SELECT c7 FROM q89",
        1,
    ),
}
WIDE = {"wide": [f"c{i}" for i in range(1000)], **{f"t{i}": ["a", "b"] for i in range(1000)}}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_text_is_traced(name):
    text, columns = LARGE[name]
    assert sum(map(len, used(trace(large_flow(text), WIDE)).values())) == columns


def large_flow(text):
    with deep_recursion():
        return flow_of(parse(text, DIALECTS["duckdb"].load_grammar())[0])


def test_two_thousand_levels_are_traced():
    assert used(trace(flow_of(nested(2000)), {"t": ["a", "b"]})) == {"t": {"a"}}


@pytest.mark.bench
@pytest.mark.parametrize("name", LARGE)
def test_a_large_text_is_traced_within_half_a_second(name):
    with deep_recursion():
        tree = parse(LARGE[name][0], DIALECTS["duckdb"].load_grammar())[0]
    times = []
    for _ in range(9):
        begin = time.perf_counter()
        trace(flow_of(tree), WIDE)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.5, times


def test_a_walk_reads_no_schema_and_a_trace_no_grammar():
    """The flow is stored: using it must not need the parser, which is slow to load."""
    program = "import sys, osiris.sql.lineage.lineage; print('sqlglot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
