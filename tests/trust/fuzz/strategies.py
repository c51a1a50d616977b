"""Texts and bytes that are nearly right: files that Osiris reads, with random changes."""

import json

from hypothesis import strategies as st

WORDS = [
    "",
    " ",
    "orders",
    "read",
    "write",
    "transform",
    "${params.x}",
    "${",
    "}",
    "@duckdb",
    "@x.y.z",
    "../..",
    "/proc/self/environ",
    "\x00",
    "\ufeff",
    "é",
    "e\u0301",
    "\U0001f600",
    "null",
    "~",
    "yes",
    "0x1F",
    "1e400",
    "NaN",
    "-0",
    "9" * 400,
    "a" * 5000,
    "<script>",
    "'; DROP TABLE t; --",
    "\u2028",
    "%s",
    "{{x}}",
]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(WORDS), st.text(max_size=20)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
    max_leaves=8,
)


def paths(tree, here=()):
    """Give the path of each node of a tree."""
    yield here
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in items:
        yield from paths(inner, (*here, key))


def changed(tree, path, value):
    """Return the tree with another value at a path."""
    if not path:
        return value
    key, *rest = path
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[key] = changed(tree[key], rest, value)
    return copy


def without(tree, path):
    """Return the tree without what is at a path."""
    key, *rest = path
    if rest:
        return changed(tree, (key,), without(tree[key], rest))
    if isinstance(tree, dict):
        return {name: inner for name, inner in tree.items() if name != key}
    return [inner for number, inner in enumerate(tree) if number != key]


@st.composite
def trees(draw, tree):
    """Generate a tree with one to three changes."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(paths(tree))))
        tree = without(tree, path) if path and draw(st.booleans()) else changed(tree, path, draw(TREES))
        if not isinstance(tree, dict | list):
            break
    return tree


@st.composite
def texts(draw, text):
    """Generate a text in which some pieces are removed, doubled or inserted."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 1, 5, 200])))
        put_in = draw(
            st.sampled_from(
                [
                    *WORDS,
                    "\n",
                    ":",
                    "- ",
                    "\t",
                    "&a ",
                    "*a",
                    "!!x ",
                    "---\n",
                    "<<: ",
                    "[" * 200,
                    '"',
                    "#",
                    text[start:end] * 2,
                ]
            )
        )
        text = text[:start] + put_in + text[end:]
    return text


@st.composite
def binaries(draw, data):
    """Generate bytes of which some are changed, missing or added."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 8, 100])))
        data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
    return data


def files(tree):
    """Generate the text of a JSON file, with a changed tree or a changed text."""
    text = json.dumps(tree, indent=1)
    return st.one_of(trees(tree).map(json.dumps), texts(text))


NAMES = st.sampled_from(["a", "b", "input_df", '"a"', "t", "*", "nosuch", "é"])
LITERALS = st.sampled_from(
    [
        "1",
        "0.1",
        "'x'",
        "NULL",
        "TRUE",
        "DATE '2024-01-01'",
        "INTERVAL 1 DAY",
        "1e400",
        "$1",
        "?",
        "'\\'",
        "E'\\n'",
        "X'00'",
        "[1]",
        "{'a': 1}",
    ]
)
FUNCTIONS = st.sampled_from(
    [
        "count",
        "sum",
        "lower",
        "pg_read_file",
        "load_file",
        "now",
        "row_number",
        "read_csv",
        "sleep",
        "json_object",
        "coalesce",
        "nosuch",
    ]
)


def _expressions(inner):
    operators = st.sampled_from(
        ["+", "-", "*", "/", "||", "=", "<>", "AND", "OR", "LIKE", "IS DISTINCT FROM", "->", "::", "~", "IN"]
    )
    return st.one_of(
        st.tuples(inner, operators, inner).map(" ".join),
        st.tuples(FUNCTIONS, inner).map(lambda pair: f"{pair[0]}({pair[1]})"),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"CAST({one} AS INTEGER)"),
        inner.map(lambda one: f"CASE WHEN {one} THEN 1 END"),
        inner.map(lambda one: f"{one} IS JSON WITH UNIQUE KEYS"),
        inner.map(lambda one: f"(SELECT {one} FROM t)"),
        inner.map(lambda one: f"sum({one}) OVER (ORDER BY {one})"),
    )


EXPRESSIONS = st.recursive(NAMES | LITERALS, _expressions, max_leaves=6)
TAILS = st.sampled_from(
    [
        "",
        "WHERE a = 1",
        "GROUP BY ALL",
        "ORDER BY 1",
        "LIMIT 1",
        "UNION SELECT 1",
        "FOR UPDATE",
        "INTO OUTFILE 'x'",
        "; DROP TABLE t",
        "/*! x */",
        "--",
        "QUALIFY 1",
        "TABLESAMPLE 1%",
        "LATERAL",
    ]
)
HEADS = st.sampled_from(
    [
        "SELECT",
        "WITH x AS (SELECT 1) SELECT",
        "EXPLAIN SELECT",
        "SELECT DISTINCT",
        "VALUES",
        "DELETE",
        "WITH RECURSIVE x AS (SELECT 1) SELECT",
        "FROM t SELECT",
        "(",
    ]
)
STATEMENTS = st.tuples(HEADS, EXPRESSIONS, st.just("FROM t"), TAILS).map(" ".join)
