"""Parse and write SQL trees, and reject every node and function that is not allowed."""

from __future__ import annotations

import contextlib
import difflib
import logging
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, TokenError, UnsupportedError

from osiris.errors import diagnostic, did_you_mean, fail
from osiris.sql.safety.dialects import any_case, load_allowed
from osiris.sql.safety.preflight import MAX_BYTES
from osiris.sql.safety.text import place
from osiris.sql.scope import ancestors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlglot import Dialect as Grammar
    from sqlglot import Token

    from osiris.errors import Diagnostic
    from osiris.sql.safety.dialects import Allowed, Dialect

_LONGEST_NAME = 256
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
"""Not supported in MySQL names, which get a question mark instead."""
_STEADY = 4
_RECURSION = 20_000
_NEAR = 0.75
_HALVES = ("GROUP", "ORDER", "PARTITION")
"""Incomplete keywords without BY: if the parser stops at one, the wrong word comes next."""
_WORDS = {
    "Into": ("SELECT … INTO", None),
    "Lock": ("FOR UPDATE or FOR SHARE", None),
    "Pivot": ("PIVOT or UNPIVOT", "write one aggregate with FILTER (WHERE …) for each column"),
    "TableSample": ("sampling", "its rows change from run to run; filter by a hash of a key instead"),
    "HistoricalData": ("AT (VERSION …)", None),
    "Hint": ("a hint", None),
    "Command": ("a command", None),
    "Dot": ("a '.' behind parentheses or before a call", None),
    "ObjectIdentifier": ("a cast to a type of the catalogue", None),
    "Parameter": ("a session variable", None),
    "PropertyEQ": ("':='", None),
    "RecursiveWithSearch": ("SEARCH or CYCLE behind WITH", "gather the path in a column of its own"),
    "National": ("a text behind N", "leave the N out"),
    "Values": ("VALUES", "write SELECT … UNION ALL SELECT …"),
    "SessionParameter": ("a session variable", None),
}


@contextlib.contextmanager
def deep_recursion() -> Iterator[None]:
    """Raise the recursion limit for the depth that preflight allows."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def refuse_compiled() -> None:
    """Fail with SQL033 if sqlglot is compiled (by the package sqlglotc): no class can inherit from its classes."""
    from sqlglot import parser

    if not str(parser.__file__).endswith((".py", ".pyc")):
        fail("SQL033")


def parse(sql: str, grammar: type[Grammar], tokens: list[Token] | None = None) -> list[exp.Expr]:
    """Return the statements of a text; `tokens` if known. Raises `ParseError`."""
    logger = logging.getLogger("sqlglot")
    if logger.level != logging.CRITICAL:
        logger.setLevel(logging.CRITICAL)
    dialect = grammar()
    parser = dialect.parser(error_level=ErrorLevel.IMMEDIATE)
    statements = parser.parse(dialect.tokenize(sql) if tokens is None else tokens, sql)
    return [s for s in statements if s is not None and not isinstance(s, exp.Semicolon)]


def name_outputs(tree: exp.Expr) -> None:
    """Give each unnamed output the name that MySQL gives it: its text as written.

    Also for inner queries, whose outputs may pass through a star.
    """
    inner = (each.this for each in tree.find_all(exp.CTE, exp.Subquery) if each.alias and not each.alias_column_names)
    for query in [tree, *inner]:
        _name_outputs(query)


def _name_outputs(query: exp.Expr) -> None:
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    for output in list(query.expressions) if isinstance(query, exp.Select) else ():
        inner = output.unnest()
        is_value = isinstance(inner, exp.Literal) and (inner.is_string or inner is not output)
        text = inner.name if is_value else output.meta.get("written")
        if text and not isinstance(inner, exp.Column):
            name = _BEYOND_BMP.sub("?", text)[:_LONGEST_NAME]
            output.replace(exp.alias_(output.copy(), name, quoted=True))


def write(tree: exp.Expr, grammar: type[Grammar]) -> str:
    """Return the text of a tree, without comments; raises `UnsupportedError` rather than omit anything.

    It is pretty-printed, unless that exceeds the size limit.
    """
    plain: dict[str, Any] = {"dialect": grammar, "comments": False, "unsupported_level": ErrorLevel.RAISE}
    text: str = tree.sql(pretty=True, **plain)
    return text if len(text.encode()) <= MAX_BYTES else str(tree.sql(**plain))


class StableText(NamedTuple):
    """A text that parses and writes back unchanged, with its tokens and tree."""

    text: str
    tokens: list[Token]
    tree: exp.Expr


def canonical(tree: exp.Expr, grammar: type[Grammar], source: StableText | None = None) -> StableText | None:
    """Return the stable text of a tree; None if there is none.

    `source` is the text that the tree was parsed from, unless the tree has changed since.
    """
    text = write(tree, grammar)
    for _ in range(_STEADY):
        if source and text == source.text:
            return source
        try:
            tokens = grammar().tokenize(text)
            statements = parse(text, grammar, tokens)
        except TokenError:
            return None
        if len(statements) != 1:
            return None
        source = StableText(text, tokens, statements[0])
        text = write(statements[0], grammar)
    return source if source and text == source.text else None


def problem_of(error: ParseError | UnsupportedError, sql: str) -> Diagnostic:
    """Return the diagnostic for a text that does not parse, or cannot be written back."""
    if isinstance(error, UnsupportedError):
        return diagnostic("SQL004", what="an unsupported feature")
    details = error.errors[0] if error.errors else {}
    highlight = str(details.get("highlight") or "")
    offset = _error_offset(details, highlight, sql)
    half = re.match(r"(\w+)\s+(\w+)", sql[offset:]) if offset is not None else None
    if half and half[1].upper() in _HALVES:
        offset, highlight = (offset or 0) + half.start(2), half[2]
    fragment = " ".join(highlight.split())[:40]
    problem = f"the SQL is not understood near '{fragment}'" if fragment else "the SQL is not understood"
    return diagnostic("SQL001", at=place(sql, offset), problem=problem)


def _error_offset(details: dict[str, Any], highlight: str, sql: str) -> int | None:
    """Return where the parser stopped. Its line numbers are wrong after a `$`, so the context is searched for."""
    before = str(details.get("start_context") or "")
    at = sql.find(before + highlight)
    return None if at < 0 or not highlight else at + len(before)


def called(node: exp.Expr | None) -> str:
    """Return the folded name of the called function; empty for any other node."""
    return node.name.lower() if isinstance(node, exp.Anonymous) else ""


def calls_any(value: exp.Expr, names: Collection[str], *apart: type[exp.Expr]) -> bool:
    """Tell whether a value calls one of some functions, outside nodes of the kinds `apart`."""
    nodes = value.walk(prune=lambda inner: isinstance(inner, apart))
    return any(called(node) in names for node in nodes)


def offset_of(node: exp.Expr) -> int | None:
    """Return the offset of a node: its own, that of its first part, or that of its nearest ancestor with one."""
    for here in ancestors(node):
        starts = [int(n.meta["start"]) for n in here.walk() if n._meta and "start" in n._meta]
        if starts:
            return min(starts)
    return None


def beginning_of(node: exp.Expr, sql: str) -> int | None:
    """Return the offset of a node; for a SELECT, that of its first word."""
    start = offset_of(node)
    return sql.upper().rfind("SELECT", 0, start) if start and isinstance(node, exp.Select) else start


def disallowed(
    nodes: Collection[exp.Expr], sql: str, dialect: Dialect, allowed: Allowed, functions: Collection[str] = ()
) -> Iterator[Diagnostic]:
    """Yield a diagnostic for every node and call that the dialect does not allow.

    `functions` are the user's own functions that may be called too, but not in FROM.
    """
    callable_here = allowed.functions.union(functions)
    for node in nodes:
        if isinstance(node, exp.Anonymous):
            in_from = isinstance(node.parent, (exp.Table, exp.Lateral))
            allowed_names = allowed.tables if in_from else callable_here
            name = dialect.call_of(node)
            if name not in allowed_names:
                yield diagnostic(
                    "SQL005", at=place(sql, offset_of(node)), name=name, hint=_instead(name, allowed, allowed_names)
                )
        elif type(node).__name__ not in allowed.nodes or _is_other_source(node):
            yield _refused_node(node, sql)
        else:
            yield from _refused_content(node, sql, dialect)
    if dialect.longest_chain is not None:
        yield from _too_long(nodes, sql, dialect.longest_chain)


def _instead(name: str, allowed: Allowed, names: Collection[str]) -> str | None:
    """Return a hint for a function that is not allowed: what the dialect has instead, or the nearest allowed name."""
    if name in allowed.instead:
        return f"write, for example, {allowed.instead[name]}"
    matches = difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)
    return f"did you mean '{matches[0]}'?" if matches else None


def _refused_content(node: exp.Expr, sql: str, dialect: Dialect) -> Iterator[Diagnostic]:
    """Yield the problems of a node of an allowed kind: its name, its window, or ambiguous parsing."""
    if isinstance(node, exp.Column) and _is_system_name(node, dialect):
        yield diagnostic("SQL005", at=place(sql, offset_of(node)), name=node.name)
    elif isinstance(node, exp.Window) and node.args.get("alias"):
        name, select = node.args["alias"], node.find_ancestor(exp.Select)
        names = [each.name for each in (select.args.get("windows") or () if select else ())]
        if name.name.lower() not in {each.lower() for each in names}:
            hint = did_you_mean(name.name, names)
            yield diagnostic(
                "SQL001", at=place(sql, offset_of(name)), problem=f"there is no window '{name.name}'", hint=hint
            )
    else:
        yield from _odd(node, sql, dialect)


def _too_long(nodes: Collection[exp.Expr], sql: str, limit: int) -> Iterator[Diagnostic]:
    """Yield a diagnostic at the first operator of a chain that is too long; AND and OR do not count."""
    chains: dict[int, int] = {}
    for node in nodes:
        if isinstance(node, (exp.Binary, exp.SetOperation)) and not isinstance(node, exp.Connector):
            chains[id(node)] = chains.get(id(node.parent), 0) + 1
            if chains[id(node)] > limit:
                yield diagnostic("SQL008", at=place(sql, offset_of(node)), limit=limit, unit="operators in a row")
                return


def _odd(node: exp.Expr, sql: str, dialect: Dialect) -> Iterator[Diagnostic]:
    """Yield what the parser reads differently from the server, so that the output would change meaning."""
    yield from _odd_table(node, sql, dialect)
    for modifier in node.args.get("operation_modifiers") or ():
        if modifier.name.upper() not in dialect.modifiers:
            yield diagnostic("SQL004", at=place(sql, offset_of(node)), what=modifier.name.upper())
    for kind, is_odd, code, params in _ODDITIES:
        if isinstance(node, kind) and is_odd(node, node.parent, dialect):
            yield diagnostic(code, at=place(sql, offset_of(node)), fix=(), **params)


def _odd_table(node: exp.Expr, sql: str, dialect: Dialect) -> Iterator[Diagnostic]:
    parent = node.parent
    if isinstance(node, exp.Table) and _is_text(node, sql, dialect):
        yield diagnostic("SQL006", at=place(sql, offset_of(node)), name=node.name, hint="a string is not a relation")
    if isinstance(parent, exp.Table) and _has_only_columns(node):
        yield diagnostic("SQL005", at=place(sql, offset_of(parent)), name=parent.name.lower())


def _has_only_columns(node: exp.Expr) -> bool:
    """Tell whether a node is an alias that names only columns."""
    return isinstance(node, exp.TableAlias) and bool(node.columns) and not node.this


def _is_text(table: exp.Table, sql: str, dialect: Dialect) -> bool:
    """Tell whether a table is written as a quoted string."""
    if isinstance(table.this, exp.Func):
        return False
    quote = sql[offset_of(table) or 0 :][:1]
    return quote == "'" or (quote == '"' and '"' in dialect.load_grammar().tokenizer_class.QUOTES)


def _has_no_condition(node: exp.Expr, _: exp.Expr | None, dialect: Dialect) -> bool:
    if any(node.args.get(key) for key in ("on", "using", "method")):
        return False
    is_conditioned = node.meta.get("conditioned") and "joins without condition" not in dialect.traits
    return bool(node.args.get("side") or is_conditioned)


def _counts_several(node: exp.Expr, parent: exp.Expr | None, dialect: Dialect) -> bool:
    several = len(node.expressions) > 1 and "counts several" not in dialect.traits
    return several and isinstance(parent, exp.Anonymous) and parent.name.lower() == "count"


def _is_no_plain_name(node: exp.Expr, _: exp.Expr | None, dialect: Dialect) -> bool:
    """A string or operator in place of a name would be written back without its quotes."""
    return not node.args.get("quoted") and not dialect.plain_name.fullmatch(node.name)


def _is_type_of_its_own(node: exp.Expr, _: exp.Expr | None, dialect: Dialect) -> bool:
    """A cast to a user-defined type calls its owner's code; to some others, it reads system catalogs."""
    if "types of its own" not in dialect.traits or node.this not in _OPEN_TYPES:
        return False
    kind = node.args.get("kind")
    return not isinstance(kind, exp.Identifier) or dialect.fold(kind) not in load_allowed(dialect).types


def _is_arrow_into_json(node: exp.Expr, _: exp.Expr | None, __: Dialect) -> bool:
    """`(payload)->'key'` parses as a lambda, but means a member of payload: a lambda body uses its parameters."""
    words = {word.name for word in node.expressions}
    used = {word.name for word in node.this.find_all(exp.Identifier)}
    return not words & used and node.this.find(exp.Literal) is not None


_ENCODINGS = frozenset({"_ascii", "_binary", "_latin1", "_utf8", "_utf8mb3", "_utf8mb4"})
"""Encodings in which no byte of a multi-byte character is a quote or a backslash."""
_OPEN_TYPES = (exp.DType.USERDEFINED, exp.DType.UNKNOWN)
_Test: TypeAlias = "Callable[[exp.Expr, exp.Expr | None, Dialect], bool]"
_ODDITIES: tuple[tuple[type[exp.Expr], _Test, str, dict[str, str]], ...] = (
    (
        exp.PropertyEQ,
        lambda _, parent, __: not isinstance(parent, (exp.Struct, exp.Anonymous)),
        "SQL004",
        {"what": "':=' outside a call"},
    ),
    (
        exp.LimitOptions,
        lambda node, parent, dialect: (
            isinstance(parent, exp.Fetch)
            and bool(node.args.get("percent") or (node.args.get("with_ties") and "ties" not in dialect.traits))
        ),
        "SQL004",
        {"what": "FETCH with PERCENT or TIES", "hint": "write LIMIT"},
    ),
    (
        exp.Lateral,
        lambda node, *_: node.args.get("cross_apply") is not None,
        "SQL004",
        {"what": "APPLY", "hint": "write JOIN LATERAL (…) ON true"},
    ),
    (
        exp.Distinct,
        _counts_several,
        "SQL004",
        {"what": "count(DISTINCT …) of several columns", "hint": "write count(DISTINCT (a, b))"},
    ),
    (
        exp.Table,
        lambda node, *_: bool(node.args.get("rows_from")),
        "SQL004",
        {"what": "ROWS FROM (…)", "hint": "write unnest(a, b), or join the functions WITH ORDINALITY"},
    ),
    (exp.Identifier, _is_no_plain_name, "SQL001", {"problem": "a name must be a word or in double quotes"}),
    (exp.DataType, _is_type_of_its_own, "SQL004", {"what": "a cast to this type", "hint": "cast to text instead"}),
    (
        exp.Introducer,
        lambda node, *_: node.name.lower() not in _ENCODINGS,
        "SQL004",
        {"what": "a text in this encoding", "hint": "write it in UTF-8, without the word before it"},
    ),
    (
        exp.Is,
        lambda node, *_: not isinstance(node.expression, (exp.Boolean, exp.Null)),
        "SQL001",
        {"problem": "IS must be followed by NULL, TRUE or FALSE"},
    ),
    (
        exp.Lambda,
        _is_arrow_into_json,
        "SQL001",
        {"problem": "'->' after parentheses is a lambda", "hint": "leave them out"},
    ),
    (exp.Join, _has_no_condition, "SQL001", {"problem": "a JOIN has no ON and no USING"}),
    (
        exp.Select,
        lambda node, parent, dialect: (
            not node.expressions and not (isinstance(parent, exp.Exists) and "empty rows" in dialect.traits)
        ),
        "SQL001",
        {"problem": "SELECT has no columns"},
    ),
    (
        exp.Struct,
        lambda node, *_: not all(isinstance(e, exp.PropertyEQ) for e in node.expressions),
        "SQL001",
        {"problem": "a value between '{' and '}' has no name"},
    ),
)
"""Tests by kind of node, and the diagnostic."""


def _refused_node(node: exp.Expr, sql: str) -> Diagnostic:
    at = place(sql, offset_of(node))
    if isinstance(node, exp.Func):
        return diagnostic("SQL005", at=at, name=node.sql_name().lower())
    what, hint = _WORDS.get(type(node).__name__, (node.key.upper(), None))
    return diagnostic("SQL004", at=at, what=what, hint=hint)


def _is_other_source(node: exp.Expr) -> bool:
    """Tell whether a function with special syntax is used where only relations and table functions are allowed."""
    in_from = isinstance(node.parent, (exp.Table, exp.Lateral)) and node.arg_key == "this"
    return in_from and isinstance(node, exp.Func) and not isinstance(node, (exp.Unnest, exp.JSONTable))


def _is_system_name(node: exp.Column, dialect: Dialect) -> bool:
    bare = isinstance(node.this, exp.Identifier) and not node.this.quoted
    return bare and any_case(node.name) in (dialect.system_members if node.table else dialect.system_names)


def parameters(
    nodes: Collection[exp.Expr], sql: str, declared: Collection[str]
) -> tuple[frozenset[str], list[Diagnostic]]:
    """Return the named parameters of a tree, and a diagnostic for each unknown one."""
    used, problems = set(), []
    for node in nodes:
        if not isinstance(node, exp.Placeholder):
            continue
        name = node.name if node.this else ""
        if name in declared:
            used.add(name)
            continue
        offset = sql.find(f"${name}" if name else "?")
        at = place(sql, offset if offset >= 0 else None)
        what = f"the parameter '{'$' + name if name else '?'}'"
        problems.append(diagnostic("SQL004", at=at, what=what, hint=did_you_mean(name, declared)))
    return frozenset(used), problems
