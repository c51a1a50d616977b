"""Whether a result has the gold rows: names and positions of columns are free within limits, values are not."""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict

from bench.evaluation.values import EMPTY, Unfit, normal, plain

MOST_ARRANGEMENTS = 60
"""The maximum number of column arrangements that are tried if names do not match."""

TOLERANCE = 0.0101
_RELATIVE = 1e-6
_YEARS = ("year", "jahr", "rok", "annee", "ano", "anio", "orderyear")
_MONTHS = ("month", "monat", "mesic", "mois", "mes")
_NAMES = ("fullname", "customer", "jmeno", "nombre")


def read_table(path):
    """Return the names of the columns and the rows of a Parquet or CSV file."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        return table.column_names, [list(row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]
    text = path.read_text(encoding="utf-8-sig")
    if not text.strip():
        return [], []
    first = text.split("\n", 1)[0]
    separator = max(",;\t|", key=first.count)
    head, *rows = csv.reader(text.splitlines(keepends=True), delimiter=separator if separator in first else ",")
    return head, [row + [""] * (len(head) - len(row)) for row in rows if row or len(head) == 1]


def difference(spec, gold, path):
    """Return how the rows of a file differ from the gold; empty if they do not. `spec` says what is free."""
    if spec.get("format") and path.suffix != f".{spec['format']}":
        return f"format {path.suffix}, expected {spec['format']}"
    try:
        head, rows = read_table(path)
    except (OSError, ValueError, csv.Error) as error:
        return f"unreadable: {error}"
    tables = [(head, rows)]
    if any(column["type"].startswith("month") for column in spec["columns"]):
        tables += _with_month(head, rows)
    why = ""
    for columns, expected in _variants(spec, head, read_table(gold)[1]):
        for names, actual in tables:
            problem = _compared(spec, columns, expected, names, actual)
            if not problem:
                return ""
            why = why or problem
    return why


def _variants(spec, head, gold):
    """Return the gold without columns that may be absent, and with two columns that may be joined into one."""
    variants = [(spec["columns"], gold)]
    names = {plain(name) for name in head}
    for name in spec.get("optional", ()):
        column = next(each for each in spec["columns"] if each["name"] == name)
        if names.isdisjoint(map(plain, (name, *column.get("accept", ())))):
            variants += [_without(columns, rows, name) for columns, rows in variants]
    for first, last in spec.get("may_join", ()):
        for columns, rows in list(variants):
            if {first, last} <= {each["name"] for each in columns}:
                variants += [_joined(columns, rows, first, last, form) for form in ("{0} {1}", "{1} {0}", "{1}, {0}")]
    return variants


def _without(columns, rows, name):
    numbers = [number for number, each in enumerate(columns) if each["name"] != name]
    return [columns[i] for i in numbers], [[row[i] for i in numbers] for row in rows]


def _joined(columns, rows, first, last, form):
    names = [each["name"] for each in columns]
    one, other = names.index(first), names.index(last)
    whole = {"name": "name", "type": "text", "accept": _NAMES}
    changed = [whole if i == one else each for i, each in enumerate(columns)]
    filled = [[form.format(row[one], row[other]) if i == one else v for i, v in enumerate(row)] for row in rows]
    return [each for i, each in enumerate(changed) if i != other], [r[:other] + r[other + 1 :] for r in filled]


def _with_month(head, rows):
    """Return the table with a year and a month as one column, if it has both."""
    names = [plain(name) for name in head]
    year = next((i for i, name in enumerate(names) if name in _YEARS), None)
    month = next((i for i, name in enumerate(names) if name in _MONTHS), None)
    if year is None or month is None:
        return []
    try:
        whole = [f"{int(float(row[year])):04d}-{int(float(row[month])):02d}" for row in rows]
    except (ValueError, TypeError):
        return []
    changed = [[*row[:month], text, *row[month + 1 :]] for row, text in zip(rows, whole, strict=True)]
    return [(head[:year] + head[year + 1 :], [row[:year] + row[year + 1 :] for row in changed])]


def _compared(spec, columns, gold, head, rows):
    if len(head) < len(columns):
        return f"{len(head)} columns, expected {len(columns)}"
    types, year, why = [each["type"] for each in columns], _year(columns, gold), ""
    expected = [[normal(v, t, year) for v, t in zip(row, types, strict=True)] for row in gold]
    for places in _arrangements(columns, head):
        actual = [[normal(row[place], t, year) for place, t in zip(places, types, strict=True)] for row in rows]
        one, other = (_settled(spec, columns, table) for table in (expected, actual))
        problem = _unequal(columns, one, other)
        if not problem and not _in_order(columns, spec.get("order", ()), one, other):
            problem = "order"
        if not problem:
            return ""
        why = why or problem
    return why or "columns not found"


def _year(columns, gold):
    year = None
    for number, column in enumerate(columns):
        if gold and column["type"] == "month1":
            year = gold[0][number][:4]
        if gold and column["type"] == "week":
            year = normal(gold[-1][number], "week")[:4]
    return year


def _arrangements(columns, head):
    """Yield possible positions of the columns: by name, by position, and by name with the rest in order."""
    names, by_name = [plain(name) for name in head], {}
    for number, column in enumerate(columns):
        accepted = [plain(name) for name in (column["name"], *column.get("accept", ()))]
        free = ((w, i) for w in accepted for i, name in enumerate(names) if name == w and i not in by_name.values())
        if match := next(free, None):
            by_name[number] = match[1]
    open_ = [number for number in range(len(columns)) if number not in by_name]
    unnamed = [place for place in range(len(head)) if place not in by_name.values()]
    arrangements = [] if open_ else [tuple(by_name[number] for number in range(len(columns)))]
    if len(head) == len(columns):
        arrangements.append(tuple(range(len(columns))))
    if open_:
        for chosen in itertools.islice(itertools.combinations(unnamed, len(open_)), MOST_ARRANGEMENTS):
            places = by_name | dict(zip(open_, chosen, strict=True))
            arrangements.append(tuple(places[number] for number in range(len(columns))))
        arrangements += itertools.islice(itertools.combinations(range(len(head)), len(columns)), MOST_ARRANGEMENTS)
    return dict.fromkeys(arrangements)


def _settled(spec, columns, rows):
    """Normalize rows: empty figures become 0, and optional rows are removed."""
    names = [each["name"] for each in columns]
    figures = [i for i, each in enumerate(columns) if each["type"] in ("num", "int")]
    if spec.get("null_is_zero"):
        rows = [[0 if i in figures and v == EMPTY else v for i, v in enumerate(row)] for row in rows]
    if key := spec.get("zero_ok"):
        counted = [i for i in figures if names[i] != key]
        rows = [row for row in rows if any(row[i] not in (EMPTY, 0) for i in counted)]
    if spec.get("null_rows_optional") in names:
        place = names.index(spec["null_rows_optional"])
        rows = [row for row in rows if row[place] != EMPTY]
    return rows


def _same(columns, one, other):
    return all(_alike(*each) for each in zip(columns, one, other, strict=True))


def _alike(column, expected, actual):
    fits = column["type"] == "num" and not any(v == EMPTY or isinstance(v, Unfit) for v in (expected, actual))
    if not fits:
        return expected == actual
    return abs(expected - actual) <= max(column.get("tol", TOLERANCE), _RELATIVE * abs(expected))


def _unequal(columns, gold, rows):
    """Return how two multisets of rows differ; empty if they do not."""
    if len(gold) != len(rows):
        return f"{len(rows)} rows, expected {len(gold)}"
    keys = [i for i, each in enumerate(columns) if each["type"] != "num"]
    expected, actual = _by_keys(keys, gold), _by_keys(keys, rows)
    if expected.keys() != actual.keys():
        return f"rows differ, e.g. {sorted(expected.keys() ^ actual.keys())[:2]}"
    for key, some in expected.items():
        candidates = actual[key]
        if len(some) != len(candidates):
            return f"multiplicity of {key}"
        for row in some:
            match = next((i for i, other in enumerate(candidates) if _same(columns, row, other)), None)
            if match is None:
                return f"value differs: expected {row}, got {candidates[0]}"
            candidates.pop(match)
    return ""


def _by_keys(keys, rows):
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda row: [(isinstance(v, str), v if isinstance(v, str) else 0, v) for v in row]):
        groups[tuple(str(row[i]) for i in keys)].append(row)
    return groups


def _in_order(columns, order, gold, rows):
    places = [i for i, each in enumerate(columns) if each["name"] in order]
    ordered = [columns[i] for i in places]
    pairs = zip(gold, rows, strict=True)
    return all(_same(ordered, [one[i] for i in places], [other[i] for i in places]) for one, other in pairs)
