"""Whether a result has the gold rows: names and places of columns are free within limits, values are not."""

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
        return f"format {path.suffix}, asked for {spec['format']}"
    try:
        head, rows = read_table(path)
    except (OSError, ValueError, csv.Error) as error:
        return f"unreadable: {error}"
    tables = [(head, rows)]
    if any(column["type"].startswith("month") for column in spec["columns"]):
        tables += _with_month(head, rows)
    why = ""
    for columns, wanted in _variants(spec, head, read_table(gold)[1]):
        for names, found in tables:
            told = _compared(spec, columns, wanted, names, found)
            if not told:
                return ""
            why = why or told
    return why


def _variants(spec, head, gold):
    """Return the gold without columns that may be absent, and with two that may be one."""
    made = [(spec["columns"], gold)]
    names = {plain(name) for name in head}
    for name in spec.get("optional", ()):
        column = next(each for each in spec["columns"] if each["name"] == name)
        if names.isdisjoint(map(plain, (name, *column.get("accept", ())))):
            made += [_without(columns, rows, name) for columns, rows in made]
    for first, last in spec.get("may_join", ()):
        for columns, rows in list(made):
            if {first, last} <= {each["name"] for each in columns}:
                made += [_joined(columns, rows, first, last, form) for form in ("{0} {1}", "{1} {0}", "{1}, {0}")]
    return made


def _without(columns, rows, name):
    kept = [number for number, each in enumerate(columns) if each["name"] != name]
    return [columns[i] for i in kept], [[row[i] for i in kept] for row in rows]


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
    made = [[*row[:month], text, *row[month + 1 :]] for row, text in zip(rows, whole, strict=True)]
    return [(head[:year] + head[year + 1 :], [row[:year] + row[year + 1 :] for row in made])]


def _compared(spec, columns, gold, head, rows):
    if len(head) < len(columns):
        return f"{len(head)} columns, expected {len(columns)}"
    types, year, why = [each["type"] for each in columns], _year(columns, gold), ""
    wanted = [[normal(v, t, year) for v, t in zip(row, types, strict=True)] for row in gold]
    for places in _arrangements(columns, head):
        found = [[normal(row[place], t, year) for place, t in zip(places, types, strict=True)] for row in rows]
        one, other = (_settled(spec, columns, table) for table in (wanted, found))
        told = _unequal(columns, one, other)
        if not told and not _in_order(columns, spec.get("order", ()), one, other):
            told = "order"
        if not told:
            return ""
        why = why or told
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
    """Yield where the columns may be: by name, by place, and those that are named by name with the rest in order."""
    names, by_name = [plain(name) for name in head], {}
    for number, column in enumerate(columns):
        wanted = [plain(name) for name in (column["name"], *column.get("accept", ()))]
        free = ((w, i) for w in wanted for i, name in enumerate(names) if name == w and i not in by_name.values())
        if found := next(free, None):
            by_name[number] = found[1]
    open_ = [number for number in range(len(columns)) if number not in by_name]
    left = [place for place in range(len(head)) if place not in by_name.values()]
    made = [] if open_ else [tuple(by_name[number] for number in range(len(columns)))]
    if len(head) == len(columns):
        made.append(tuple(range(len(columns))))
    if open_:
        for chosen in itertools.islice(itertools.combinations(left, len(open_)), MOST_ARRANGEMENTS):
            places = by_name | dict(zip(open_, chosen, strict=True))
            made.append(tuple(places[number] for number in range(len(columns))))
        made += itertools.islice(itertools.combinations(range(len(head)), len(columns)), MOST_ARRANGEMENTS)
    return dict.fromkeys(made)


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


def _alike(column, wanted, found):
    fits = column["type"] == "num" and not any(v == EMPTY or isinstance(v, Unfit) for v in (wanted, found))
    if not fits:
        return wanted == found
    return abs(wanted - found) <= max(column.get("tol", TOLERANCE), _RELATIVE * abs(wanted))


def _unequal(columns, gold, rows):
    """Return how two multisets of rows differ; empty if they do not."""
    if len(gold) != len(rows):
        return f"{len(rows)} rows, expected {len(gold)}"
    keys = [i for i, each in enumerate(columns) if each["type"] != "num"]
    wanted, found = _by_keys(keys, gold), _by_keys(keys, rows)
    if wanted.keys() != found.keys():
        return f"rows differ, e.g. {sorted(wanted.keys() ^ found.keys())[:2]}"
    for key, some in wanted.items():
        left = found[key]
        if len(some) != len(left):
            return f"multiplicity of {key}"
        for row in some:
            match = next((i for i, other in enumerate(left) if _same(columns, row, other)), None)
            if match is None:
                return f"value differs: expected {row}, got {left[0]}"
            left.pop(match)
    return ""


def _by_keys(keys, rows):
    made = defaultdict(list)
    for row in sorted(rows, key=lambda row: [(isinstance(v, str), v if isinstance(v, str) else 0, v) for v in row]):
        made[tuple(str(row[i]) for i in keys)].append(row)
    return made


def _in_order(columns, order, gold, rows):
    places = [i for i, each in enumerate(columns) if each["name"] in order]
    ordered = [columns[i] for i in places]
    pairs = zip(gold, rows, strict=True)
    return all(_same(ordered, [one[i] for i in places], [other[i] for i in places]) for one, other in pairs)
