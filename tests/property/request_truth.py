"""The meaning of a request in plain Python, over rows that are dictionaries: independent of the renderer."""

import datetime as dt
import statistics
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby

UNITS = {
    "year": lambda day: day.replace(month=1, day=1),
    "quarter": lambda day: day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
    "month": lambda day: day.replace(day=1),
    "week": lambda day: day - dt.timedelta(days=day.weekday()),
    "day": lambda day: day,
}
PARTS = {
    "year": lambda day: day.year,
    "quarter": lambda day: (day.month + 2) // 3,
    "month": lambda day: day.month,
    "week": lambda day: day.isocalendar().week,
    "day": lambda day: day.day,
    "weekday": lambda day: day.isoweekday(),
}


def run(request, tables):
    """Return the rows of every step by its name."""
    known = dict(tables)
    for step in request.steps:
        known[step.name] = run_step(step, known)
    return known


def run_step(step, known):
    rows, hidden = joined(step, known)
    for each in step.compute:
        rows = [{**row, each.name: compute(each, row)} for row in rows]
    rows = [row for row in rows if keeps(step.filters, row)]
    result_names, named = None, flat
    if step.group or step.measures or step.pivot:
        rows, hidden, named = grouped(step, rows), set(), str
    elif step.pick:
        rows = picked(step.pick, rows)
    if step.columns:
        result_names = [(each.column, each.name or named(each.column)) for each in step.columns]
    elif rows:
        result_names = [(name, named(name)) for name in rows[0] if name not in hidden]
    pairs = [(row, {new: row[old] for old, new in result_names}) for row in rows] if result_names else []
    for sort in reversed(step.sort):
        pairs = sorted_by(
            pairs, lambda pair, sort=sort: pair[1].get(sort.column, pair[0].get(sort.column)), sort.descending
        )
    return [result for _, result in pairs][: step.limit]


def flat(name):
    return name.replace(".", "_")


def joined(step, known):
    rows, hidden, labels = known[step.input], set(), [step.input]
    for join in step.joins:
        number = 1 + labels.count(join.input)
        label = join.input if number == 1 else f"{join.input}_{number}"
        labels.append(join.input)
        right = known[join.input]
        taken = {name.lower() for name in rows[0]} if rows else set()
        names = {name: f"{label}.{name}" if name.lower() in taken else name for name in right[0]}
        hidden |= {names[match.right] for match in join.on}
        rows = list(join_rows(rows, right, names, join))
    return rows, hidden


def join_rows(rows, right, names, join):
    for row in rows:
        found = [
            other
            for other in right
            if all(row[match.left] is not None and row[match.left] == other[match.right] for match in join.on)
        ]
        for other in found or ([dict.fromkeys(names)] if join.unmatched == "keep" else []):
            yield {**row, **{names[name]: value for name, value in other.items()}}


def typed(value, like):
    """Return a text as a value of another value's type."""
    if isinstance(like, bool):
        return value == "true"
    if isinstance(like, (int, float, Decimal)):
        return Decimal(value)
    if isinstance(like, dt.datetime):
        return dt.datetime.fromisoformat(value)
    return dt.date.fromisoformat(value) if isinstance(like, dt.date) else value


def compute(given, row):
    value, other, name = row.get(given.column), row.get(given.other), given.function
    if name == "constant":
        return given.value
    if name == "if empty":
        return (other if given.other else typed(given.value, value)) if value in (None, "") else value
    if name == "join text":
        if given.other is None:
            return ("" if value is None else str(value)) + (given.value or "")
        return (given.value or "").join(str(each) for each in (value, other) if each is not None)
    if value is None or (given.other is not None and other is None):
        return None
    return plain(given, value, other)


def plain(given, value, other):
    name = given.function
    day = value.date() if isinstance(value, dt.datetime) else value
    if name in ("add", "subtract", "multiply", "divide"):
        return arithmetic(name, value, other if given.other else Decimal(given.value))
    if name in PARTS:
        return PARTS[name](day)
    if name == "days between":
        end = other if given.other else dt.date.fromisoformat(given.value)
        return ((end.date() if isinstance(end, dt.datetime) else end) - day).days
    if name == "minutes between":
        return int((other - value) / dt.timedelta(minutes=1))
    if name == "convert":
        return dt.date.fromisoformat(value) if given.value.startswith("date") else str(value)
    return {
        "round": lambda: Decimal(value).quantize(Decimal(1).scaleb(-int(given.value or 0)), ROUND_HALF_UP),
        "absolute": lambda: abs(value),
        "hour": lambda: value.hour,
        "date": lambda: day,
        "lower": lambda: value.lower(),
        "upper": lambda: value.upper(),
        "trim": lambda: value.strip(" "),
        "length": lambda: len(value),
        "replace": lambda: value.replace(given.value, given.new),
        "first characters": lambda: value[: int(given.value)],
    }[name]()


def arithmetic(name, one, other):
    if isinstance(one, dt.date):
        days = dt.timedelta(days=int(other))
        return one + days if name == "add" else one - days
    if isinstance(one, float) or isinstance(other, float) or name == "divide":
        one, other = float(one), float(other)
    if name == "divide":
        return None if other == 0 else one / other
    return {"add": one + other, "subtract": one - other, "multiply": one * other}[name]


def keeps(filters, row):
    alone = [each for each in filters if each.either is None]
    numbers = {each.either for each in filters} - {None}
    return all(holds(each, row) for each in alone) and all(
        any(holds(each, row) for each in filters if each.either == number) for number in numbers
    )


def holds(given, row):
    value, operator = row[given.column], given.operator
    if operator in ("is empty", "is not empty"):
        return (value in (None, "")) == (operator == "is empty")
    if given.other is not None:
        sides = [row[given.other]]
        if operator == "!=":
            return value != sides[0]
        return value is not None and sides[0] is not None and compare(operator, value, sides)
    if value is None:
        return operator in ("!=", "not in")
    if isinstance(value, dt.datetime) and all(len(side) == 10 for side in given.values):
        value = value.date()
    return compare(operator, value, [typed(side, value) for side in given.values])


def compare(operator, value, sides):
    if isinstance(value, float):
        sides = [float(side) for side in sides]
    return {
        "=": lambda: value == sides[0],
        "!=": lambda: value != sides[0],
        "<": lambda: value < sides[0],
        "<=": lambda: value <= sides[0],
        ">": lambda: value > sides[0],
        ">=": lambda: value >= sides[0],
        "in": lambda: value in sides,
        "not in": lambda: value not in sides,
        "between": lambda: sides[0] <= value <= sides[1],
        "contains": lambda: sides[0] in value,
        "starts with": lambda: value.startswith(sides[0]),
        "ends with": lambda: value.endswith(sides[0]),
    }[operator]()


def grouped(step, rows):
    names = [each.name or each.unit or flat(each.column) for each in step.group]
    groups = {}
    for row in rows:
        groups.setdefault(tuple(group_value(each, row) for each in step.group), []).append(row)
    if not step.group:
        groups = {(): rows}
    results = [{**dict(zip(names, key, strict=True)), **measures(step, inside)} for key, inside in groups.items()]
    return [with_derived(step.measures, result, results, names) for result in results]


def group_value(each, row):
    value = row[each.column]
    if each.unit is None or value is None:
        return value
    value = dt.date.fromisoformat(value[:10]) if isinstance(value, str) else value
    return UNITS[each.unit](value.date() if isinstance(value, dt.datetime) else value)


def measures(step, rows):
    found = {
        each.name: aggregate(each.function, each.column, rows)
        for each in step.measures
        if each.function not in ("share of total", "ratio")
    }
    if step.pivot:
        for value in step.pivot.values:
            column = step.pivot.column
            inside = [row for row in rows if row[column] is not None and row[column] == typed(value, row[column])]
            found[value] = aggregate(step.pivot.function, step.pivot.of, inside)
    return found


def aggregate(function, column, rows):
    if function == "count" and column is None:
        return len(rows)
    values = [row[column] for row in rows if row[column] is not None]
    if function in ("count", "count distinct"):
        return len(values) if function == "count" else len(set(values))
    if not values:
        return None
    return {
        "sum": lambda: sum(values),
        "average": lambda: float(sum(values)) / len(values),
        "minimum": lambda: min(values),
        "maximum": lambda: max(values),
        "median": lambda: statistics.median(values),
    }[function]()


def with_derived(given, result, results, groups):
    found = {name: result[name] for name in groups}
    for each in given:
        if each.function == "share of total":
            found[each.name] = ratio(result[each.of], sum(r[each.of] for r in results if r[each.of] is not None))
        elif each.function == "ratio":
            found[each.name] = ratio(result[each.of], result[each.over])
        else:
            found[each.name] = result[each.name]
    return {**found, **{name: value for name, value in result.items() if name not in found}}


def ratio(top, below):
    return None if top is None or not below else float(top) / float(below)


def picked(pick, rows):
    rest = [name for name in (rows[0] if rows else ()) if name not in pick.per]
    ordered = rows
    for name in reversed(rest):
        ordered = sorted_by(ordered, lambda row, name=name: row[name])
    for sort in reversed(pick.order):
        ordered = sorted_by(ordered, lambda row, sort=sort: row[sort.column], sort.descending)
    for name in pick.per:
        ordered = sorted_by(ordered, lambda row, name=name: row[name])
    parts = groupby(ordered, lambda row: [row[name] for name in pick.per])
    return [row for _, inside in parts for row in list(inside)[: pick.rows]]


def sorted_by(rows, value, descending=False):
    """Sort stably; NULLs come last."""
    there = sorted((row for row in rows if value(row) is not None), key=value, reverse=descending)
    return there + [row for row in rows if value(row) is None]
