"""Mistakes in the SQL of a step."""

import re

from tests.golden.mutation.mutant import Mutant, operator
from tests.golden.mutation.page import typo
from tests.golden.mutation.shape import configs

WORD = re.compile(r"\b[A-Za-z_]\w*\b")
TABLE = re.compile(
    r"\b(?:FROM|JOIN)\s+(\w+)(?:\s+(?:AS\s+)?(?!ON\b|WHERE\b|GROUP\b|ORDER\b|QUALIFY\b)(\w+))?", re.IGNORECASE
)
SKIPPED = re.compile(r"'[^']*'|--.*|\$\{[^}]*\}")
KEYWORDS = {
    *("select", "from", "join", "on", "where", "group", "by", "order", "asc", "desc", "distinct", "limit", "qualify"),
    *("and", "or", "not", "null", "is", "as", "case", "when", "then", "else", "end", "cast", "integer", "numeric"),
    *("over", "partition", "having"),
}


def statements(case, component=None):
    """Yield the entry of each statement, and the positions of its first and last character."""
    for _, step, entry, option in configs(case):
        if "x-sql" in option and component in (None, step["component"]):
            yield entry, *case.page.inside(entry.value)


def words(case, start, end):
    """Yield the words of a statement outside of texts, comments and placeholders."""
    hidden = SKIPPED.sub(lambda m: " " * len(m[0]), case.text[start:end])
    for match in WORD.finditer(hidden):
        before, after = hidden[: match.start()].rstrip(), hidden[match.end() :].lstrip()
        yield match, start + match.start(), before, after


def tables(case, start, end):
    """Return the spans of relation names after `FROM` and `JOIN`, and all names of relations."""
    found = list(TABLE.finditer(SKIPPED.sub(lambda m: " " * len(m[0]), case.text[start:end])))
    return [(start + m.start(1), m[1]) for m in found], {m[1] for m in found} | {m[2] for m in found}


def changed(case, entry, at, old, new):
    text = case.page.splice(at, at + len(old), new)
    return Mutant(text, (entry.at,), case.page.line(at))


@operator()
def misspelt_relation(case):
    for entry, start, end in statements(case, "duckdb.processor"):
        for at, name in tables(case, start, end)[0]:
            yield changed(case, entry, at, name, typo(name, case.name))


@operator(stage="compile")
def misspelt_qualifier(case):
    """The letter of a table before the dot of a column: if columns are unknown, it may be a struct."""
    for entry, start, end in statements(case, "duckdb.processor"):
        for match, at, _, after in words(case, start, end):
            if after.startswith("."):
                yield changed(case, entry, at, match[0], match[0] + match[0][-1])


@operator(stage="compile")
def misspelt_column(case):
    for entry, start, end in statements(case, "duckdb.processor"):
        relations = tables(case, start, end)[1]
        for match, at, before, after in words(case, start, end):
            word = match[0]
            defined = re.search(r"\b(AS|FROM|JOIN)$", before, re.IGNORECASE)
            if word.lower() in KEYWORDS | relations or after.startswith(("(", ".")) or defined:
                continue
            yield changed(case, entry, at, word, typo(word, case.name))


@operator()
def misspelt_function(case):
    for entry, start, end in statements(case):
        for match, at, _, after in words(case, start, end):
            if after.startswith("(") and match[0].lower() not in KEYWORDS:
                yield changed(case, entry, at, match[0], typo(match[0], case.name))


@operator()
def misspelt_keyword(case):
    for entry, start, end in statements(case):
        for match, at, _, _ in words(case, start, end):
            if match[0].upper() in ("SELECT", "FROM", "WHERE", "GROUP", "ORDER", "JOIN", "BY"):
                yield changed(case, entry, at, match[0], typo(match[0], case.name))


@operator()
def unclosed_quote_in_sql(case):
    for entry, start, end in statements(case):
        if case.text[start - 1] != "'":
            yield Mutant(case.page.splice(end, end, " LIMIT 'a"), (entry.at,))
            first = start + len("SELECT ")
            yield Mutant(case.page.splice(first, first, "'"), (entry.at,))


@operator()
def unbalanced_parenthesis(case):
    for entry, start, end in statements(case):
        for at in [start + m.start() for m in re.finditer(r"\)", case.text[start:end])]:
            yield Mutant(case.page.splice(at, at + 1, ""), (entry.at,))


@operator()
def comma_too_many(case):
    for entry, start, end in statements(case):
        for match in re.finditer(r",", case.text[start:end]):
            at = start + match.start()
            yield Mutant(case.page.splice(at, at, ","), (entry.at,), case.page.line(at))


@operator()
def two_statements(case):
    for entry, _, end in statements(case):
        for more in ("; SELECT 1 AS x", "; DROP TABLE orders"):
            yield Mutant(case.page.splice(end, end, more), (entry.at,))


@operator()
def writing_statement(case):
    for entry, start, _ in statements(case):
        whole = ("DROP TABLE orders", "DELETE FROM orders", "UPDATE orders SET a = 1", "INSERT INTO orders VALUES (1)")
        for statement in whole:
            yield Mutant(case.page.replace(entry.value, statement), (entry.at,))
        yield Mutant(case.page.splice(start, start, "CREATE TABLE x AS "), (entry.at,))


@operator()
def function_that_reads_files(case):
    for entry, start, end in statements(case, "duckdb.processor"):
        for at, name in tables(case, start, end)[0]:
            text = case.page.splice(at, at + len(name), "read_csv_auto(name)")
            yield Mutant(text, (entry.at,), case.page.line(at))


@operator()
def no_statement(case):
    for entry, _, _ in statements(case):
        for text in ('""', "'-- later'", "TODO"):
            yield Mutant(case.page.replace(entry.value, text), (entry.at,))


@operator(stage="compile")
def aggregate_without_its_group(case):
    """The GROUP BY is missing."""
    for entry, start, end in statements(case, "duckdb.processor"):
        found = re.search(r"\s+GROUP BY .*?(?=\s+ORDER BY|$)", case.text[start:end], re.DOTALL)
        if found:
            at = start + found.start()
            yield Mutant(case.page.splice(at, at + len(found[0]), ""), (entry.at,))
