"""The OML rendered from a request gives the rows that the request means, over tables with unusual values."""

import datetime as dt
import sqlite3
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.property import request_truth as truth
from tests.unit.chat.worlds import names, source, table

from osiris.chat.choices import read_names
from osiris.chat.parse_request import parse_request
from osiris.chat.render import fields_of, render_request
from osiris.chat.request import (
    Chosen,
    Computed,
    Filter,
    Group,
    Join,
    Match,
    Measure,
    Output,
    Pick,
    Pivot,
    Request,
    Sort,
    Source,
    Step,
)
from osiris.sql import check
from osiris.sql.nondeterminism.determinism import diagnostics
from osiris.types import arrow_type

D, T = dt.date, dt.datetime
ORDER_TYPES = {
    "id": "int64",
    "customer_id": "int64",
    "amount": "decimal(10,2)",
    "qty": "int64",
    "price": "float64",
    "order": "utf8",
    "Größe 'x\"": "utf8",
    "on_day": "utf8",
    "d": "date",
    "ts": "timestamp[us]",
    "paid": "bool",
}
ORDERS = [
    (1, 1, "10.50", 2, 1.25, "US", "a", "2024-01-31", D(2024, 1, 31), T(2024, 12, 31, 23, 59, 59), True),
    (2, 1, "-3.10", -2, 0.5, "AT", "O'Hara", "2024-02-29", D(2024, 2, 29), T(2024, 1, 1, 0, 0), False),
    (3, 2, "0.00", 0, None, "IT", "ž ∂", "2023-12-31", D(2023, 12, 31), T(2023, 12, 31, 12, 30), None),
    (4, 3, "99.99", 7, -4.75, "us", "", "2024-01-31", None, None, True),
    (5, None, None, 2, 1.25, None, "a", None, D(2024, 1, 31), T(2024, 1, 31, 0, 0), False),
    (6, 9, "10.50", None, 8.0, "", "%_", "2020-03-01", D(2020, 3, 1), T(2024, 12, 31, 0, 0), True),
    (7, 2, "10.50", 2, 0.5, "US", "a", "2024-01-31", D(2024, 1, 31), T(2024, 12, 31, 23, 59, 59), True),
    (8, 2, "10.50", 2, 0.5, "US", None, "2024-01-31", D(2024, 1, 31), T(2024, 12, 31, 23, 59, 59), True),
]
CUSTOMER_TYPES = {"id": "int64", "name": "utf8", "order": "utf8", "score": "int64", "since": "utf8", "country": "utf8"}
CUSTOMERS = [
    (1, "Anna Novak", "US", 5, "2020-01-01", "AT"),
    (2, "Anna Novak", "DE", -5, "2021-06-30", "US"),
    (3, "Li", None, None, None, "IT"),
    (4, "", "US", 0, "2020-01-01", None),
]
TABLES = {
    "orders": [
        {k: Decimal(v) if k == "amount" and v is not None else v for k, v in zip(ORDER_TYPES, row, strict=True)}
        for row in ORDERS
    ],
    "customers": [dict(zip(CUSTOMER_TYPES, row, strict=True)) for row in CUSTOMERS],
}


def told(name, types, config):
    """Return a table in the form of discovery; a name can have blanks."""
    columns = [{"name": k, "type": v, "nullable": True, "comment": None} for k, v in types.items()]
    return {**table(name, config=config), "columns": columns}


CHOICES = read_names(
    names(
        source("data/*", told("data/orders.parquet", ORDER_TYPES, {"path": "data/orders.parquet"})),
        source("@sqlite.shop", told("customers", CUSTOMER_TYPES, {"connection": "@sqlite.shop", "table": "customers"})),
    )
)
SOURCES = (Source("data/orders.parquet"), Source("@sqlite.shop/customers"))
NUMBERS, TEXTS = ("int", "decimal", "float"), ("text", "day")
KINDS = {"int64": "int", "decimal(10,2)": "decimal", "float64": "float", "utf8": "text", "timestamp[us]": "timestamp"}
SCOPES = {
    "orders": {name: KINDS.get(kind, kind) for name, kind in ORDER_TYPES.items()} | {"on_day": "day"},
    "customers": {name: KINDS.get(kind, kind) for name, kind in CUSTOMER_TYPES.items()} | {"since": "day"},
}
VALUES = {
    "int": ["0", "2", "-2", "7", "1"],
    "decimal": ["10.5", "-3.10", "0", "99.99"],
    "float": ["0.5", "-4.75", "8"],
    "text": ["US", "AT", "us", "a", "O'Hara", "ž ∂", "%_", "Anna Novak", "nowhere"],
    "day": ["2024-01-31", "2020-01-01", "2023-12-31"],
    "date": ["2024-01-31", "2023-12-31", "2020-03-01"],
    "timestamp": ["2024-12-31", "2024-01-31", "2024-12-31 23:59:59"],
    "bool": ["true", "false"],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """An engine with the tables of a Parquet file and of a SQLite database."""
    folder = tmp_path_factory.mktemp("data")
    columns = {name: [row[name] for row in TABLES["orders"]] for name in ORDER_TYPES}
    arrays = [pa.array(columns[name], arrow_type(kind)) for name, kind in ORDER_TYPES.items()]
    pq.write_table(pa.table(arrays, names=list(ORDER_TYPES)), folder / "orders.parquet")
    database = sqlite3.connect(folder / "shop.sqlite")
    database.execute('CREATE TABLE customers (id, name, "order", score, since, country)')
    database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", CUSTOMERS)
    customers = database.execute("SELECT * FROM customers").fetchall()
    made = duckdb.connect()
    made.execute(f"CREATE TABLE orders AS SELECT * FROM read_parquet('{folder / 'orders.parquet'}')")
    made.execute('CREATE TABLE customers (id BIGINT, name TEXT, "order" TEXT, score BIGINT, since TEXT, country TEXT)')
    made.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", customers)
    return made


def pick_column(draw, scope, *kinds):
    return draw(st.sampled_from([name for name, kind in scope.items() if not kinds or kind in kinds]))


@st.composite
def joins(draw, name, scope):
    """Draw a join, and add its columns."""
    if name != "orders" or not draw(st.booleans()):
        return ()
    made = []
    for number in range(draw(st.integers(1, 2))):
        on = draw(st.sampled_from([Match("customer_id", "id"), Match("order", "order"), Match("qty", "score")]))
        made.append(Join("customers", (on,), draw(st.sampled_from(["keep", "drop"]))))
        label = "customers_2" if number else "customers"
        scope |= {f"{label}.{k}" if k in scope else k: kind for k, kind in SCOPES["customers"].items()}
    return tuple(made)


@st.composite
def computes(draw, scope, step):
    made = []
    for number in range(draw(st.integers(0, 2))):
        new, kind = draw(computed(scope, draw(st.sampled_from([f"{step}_{number}", f"{step} {number}"]))))
        scope[new.name] = kind
        made.append(new)
    return tuple(made)


@st.composite
def computed(draw, scope, name):
    family = draw(st.sampled_from(["arithmetic", "number", "date", "text", "other"]))
    if family == "arithmetic":
        function = draw(st.sampled_from(["add", "subtract", "multiply", "divide"]))
        one, other = pick_column(draw, scope, *NUMBERS), pick_column(draw, scope, *NUMBERS)
        value = draw(st.sampled_from(["2", "-1.5", "0.1"]))
        given = draw(st.sampled_from([{"other": other}, {"value": value}]))
        is_float = "float" in (scope[one], scope[other]) or function == "divide"
        return Computed(name, function, one, **given), "float" if is_float else "decimal"
    if family == "number":
        exact = pick_column(draw, scope, "int", "decimal")
        return draw(
            st.sampled_from([Computed(name, "round", exact, value="1"), Computed(name, "absolute", exact)])
        ), "decimal"
    if family == "date":
        return draw(of_dates(scope, name))
    text, any_column = pick_column(draw, scope, *TEXTS), pick_column(draw, scope, *TEXTS, "int")
    if family == "text":
        function, value = draw(
            st.sampled_from(
                [("lower", None), ("upper", None), ("trim", None), ("length", None), ("first characters", "2")]
            )
        )
        return Computed(name, function, text, value=value), "int" if function == "length" else "text"
    return draw(
        st.sampled_from(
            [
                (Computed(name, "join text", text, any_column, ", "), "text"),
                (Computed(name, "join text", text, value="'s"), "text"),
                (Computed(name, "replace", text, value="a", new="''"), "text"),
                (Computed(name, "if empty", text, value="none"), "text"),
                (Computed(name, "constant", value="it's ${not} {{a}} placeholder"), "text"),
                (Computed(name, "convert", "id" if "id" in scope else text, value="utf8"), "text"),
            ]
        )
    )


AS_DATES = ("date", "date %Y-%m-%d", "date %d.%m.%Y or %Y-%m-%d")


@st.composite
def of_dates(draw, scope, name):
    moments = [column for column, kind in scope.items() if kind in ("date", "timestamp")]
    days = [column for column, kind in scope.items() if kind == "day"]
    if not moments:
        return Computed(name, "constant", value=""), "text"
    moment, other = draw(st.sampled_from(moments)), draw(st.sampled_from(moments))
    both = [scope[moment], scope[other]]
    part = draw(st.sampled_from(["year", "quarter", "month", "week", "day", "weekday"]))
    options = [
        (Computed(name, part, moment), "int"),
        (Computed(name, "date", moment), "date"),
        (Computed(name, "days between", moment, other), "int"),
        (Computed(name, "days between", moment, value="2024-03-01"), "int"),
        *((Computed(name, "add", moment, value="30"), "date") for _ in range(scope[moment] == "date")),
        *((Computed(name, "minutes between", moment, other), "int") for _ in range(both.count("timestamp") == 2)),
        *((Computed(name, "hour", moment), "int") for _ in range(scope[moment] == "timestamp")),
        *((Computed(name, "convert", days[0], value=value), "date") for value in AS_DATES for _ in range(bool(days))),
    ]
    return draw(st.sampled_from(options))


@st.composite
def filters(draw, scope):
    made = []
    for _ in range(draw(st.integers(0, 3))):
        column = pick_column(draw, scope)
        kind, either = scope[column], draw(st.sampled_from([None, None, 1]))
        value = st.sampled_from(VALUES[kind])
        operators = {
            "=": (draw(value),),
            "!=": (draw(value),),
            "in": tuple(draw(st.lists(value, min_size=1, max_size=3, unique=True))),
            "not in": tuple(draw(st.lists(value, min_size=1, max_size=3, unique=True))),
            "is empty": (),
            "is not empty": (),
        }
        if kind != "bool":
            operators |= {
                "<": (draw(value),),
                ">=": (draw(value),),
                "between": tuple(sorted((draw(value), draw(value)))),
            }
        if kind in TEXTS:
            operators |= {
                "contains": (draw(value),),
                "starts with": (draw(value)[:1],),
                "ends with": (draw(value)[-1:],),
            }
        if kind == "timestamp":  # days among moments would be midnight
            operators = {k: v for k, v in operators.items() if len({len(each) for each in v}) < 2}
        operator = draw(st.sampled_from(sorted(operators)))
        alike = [name for name, other in scope.items() if other == kind]
        if operator in ("=", "!=", "<", ">=") and draw(st.integers(0, 4)) == 0:
            made.append(Filter(column, operator, other=draw(st.sampled_from(alike)), either=either))
        else:
            made.append(Filter(column, operator, operators[operator], either=either))
    return tuple(made)


@st.composite
def groups(draw, scope):
    made, result = [], {}
    for _ in range(draw(st.integers(0, 2))):
        column = pick_column(draw, scope)
        units = (
            [None] if scope[column] not in ("date", "timestamp", "day") else [None, "year", "quarter", "month", "week"]
        )
        unit = draw(st.sampled_from(units))
        name = draw(st.sampled_from([None, f"by {column}"]))
        result_name = name or unit or truth.flat(column)
        if result_name.lower() not in {each.lower() for each in result}:
            made.append(Group(column, unit, name))
            result[result_name] = "date" if unit else scope[column]
    return tuple(made), result


@st.composite
def measures(draw, scope, result):
    made = []
    for number in range(draw(st.integers(1, 3))):
        function = draw(st.sampled_from(["count", "count distinct", "sum", "average", "minimum", "maximum", "median"]))
        kinds = NUMBERS if function in ("sum", "average") else ("float", "int") if function == "median" else ()
        column = pick_column(draw, scope, *kinds) if function != "count" or draw(st.booleans()) else None
        # A measure is often called like the column that it measures.
        name = truth.flat(column or f"m{number}")
        while name.lower() in {each.lower() for each in result}:
            name += "_"
        made.append(Measure(name, function, column))
        kind = (
            scope[column]
            if function in ("sum", "minimum", "maximum")
            else "float"
            if function in ("average", "median")
            else "int"
        )
        result[name] = kind
    counted = [each.name for each in made if each.function in ("count", "sum")]
    if counted and draw(st.booleans()):
        made.insert(draw(st.integers(0, len(made))), Measure("share of it", "share of total", of=counted[0]))
        result["share of it"] = "float"
    numbers = [each.name for each in made if result[each.name] in NUMBERS and each.name != "share of it"]
    if len(numbers) > 1 and draw(st.booleans()):
        made.append(Measure("ratio", "ratio", of=numbers[0], over=numbers[1]))
        result["ratio"] = "float"
    return tuple(made)


@st.composite
def endings(draw, result, named, step):
    """Draw the output columns, sorting and limit, such that no two rows compare equal."""
    columns = ()
    if draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(sorted(result)), min_size=1, max_size=4, unique=True))
        taken = set()
        for number, name in enumerate(chosen):
            new = draw(st.sampled_from([None, f"{step}_c{number}", chosen[number - 1]]))
            if (new or named(name)).lower() in taken:
                new = f"{step}_c{number}"
            taken.add((new or named(name)).lower())
            columns += (Chosen(name, new),)
    results = [each.name or named(each.column) for each in columns] or sorted(result)
    keys = draw(st.lists(st.sampled_from(results), max_size=2, unique=True))
    limit = draw(st.sampled_from([None, None, 2])) if keys else None
    keys += [name for name in results if limit and name not in keys]
    return columns, tuple(Sort(name, draw(st.booleans())) for name in keys), limit


@st.composite
def steps(draw, name, inputs):
    reads = draw(st.sampled_from(sorted(inputs)))
    scope = dict(inputs[reads])
    made = {"joins": draw(joins(reads, scope)), "compute": draw(computes(scope, name)), "filters": draw(filters(scope))}
    shape = draw(st.sampled_from(["rows", "groups", "groups", "pick", "pivot"]))
    result = scope
    if shape == "groups":
        made["group"], result = draw(groups(scope))
        made["measures"] = draw(measures(scope, result))
    if shape == "pivot":
        made["group"], result = draw(groups(scope))
        column = pick_column(draw, scope, "text", "int", "bool")
        values = [each for each in VALUES[scope[column]] if each.lower() not in {name.lower() for name in result}][:2]
        function = draw(st.sampled_from(["count", "sum", "maximum"]))
        made["pivot"] = Pivot(
            column, tuple(values), function, pick_column(draw, scope, *NUMBERS) if function != "count" else None
        )
    if shape == "pick":
        per = draw(st.lists(st.sampled_from(sorted(scope)), max_size=2, unique=True))
        order = (Sort(pick_column(draw, scope), draw(st.booleans())),)
        made["pick"] = Pick(tuple(per), order, draw(st.integers(1, 2)))
    if shape != "pivot":
        named = truth.flat if result is scope else str
        made["columns"], made["sort"], made["limit"] = draw(endings(result, named, name))
    return Step(name, reads, **made)


@st.composite
def requests(draw):
    first = draw(steps("first", SCOPES))
    given = Request("made", SOURCES, (first,), (Output("first", "filesystem.csv_writer"),))
    kinds = {each.name: KINDS.get(each.type, each.type) for each in fields_of(given, CHOICES, "first")}
    scope = {k: "decimal" if v.startswith("decimal") else "int" if v.startswith("int") else v for k, v in kinds.items()}
    has_all = {"text", "int"} <= set(scope.values()) and all(kind in VALUES for kind in scope.values())
    if has_all and draw(st.booleans()):
        second = draw(steps("second", {"first": scope}))
        return Request("made", SOURCES, (first, second), (Output("second", "filesystem.csv_writer"),))
    return given


def rendered(request):
    document = yaml.safe_load(render_request(request, CHOICES))
    return {each["id"]: each["config"]["query"] for each in document["steps"] if each["mode"] == "transform"}


def plain(value):
    """Return a value so that equal numbers are equal, whatever their types are."""
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return f"{float(value) + 0:.9g}"
    return value.date() if isinstance(value, dt.datetime) and value.time() == dt.time() else value


def rows_of(rows):
    return sorted((sorted((name, repr(plain(value))) for name, value in row.items()) for row in rows), key=repr)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(request_=requests())
def test_the_rows_are_those_that_the_request_means(engine, request_):
    check_rows(engine, request_)


@pytest.mark.long
@settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
@given(request_=requests())
def test_the_rows_of_many_more(engine, request_):
    check_rows(engine, request_)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(request_=requests())
def test_what_was_rendered_comes_back(request_):
    check_back(request_)


@pytest.mark.long
@settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(request_=requests())
def test_many_more_come_back(request_):
    check_back(request_)


def check_back(request_):
    """The same up to numbers of `either`, and to names that no longer show: what it renders to is the same text.

    Some steps come back as SQL: where columns that are chosen no longer tell what a group or a measure was called.
    """
    text = render_request(request_, CHOICES)
    again = parse_request(text, CHOICES)

    assert again is not None
    assert render_request(again, CHOICES) == text


def check_rows(engine, request_):
    queries = rendered(request_)
    expected = truth.run(request_, TABLES)
    for step in request_.steps:
        reads = {step.input, *(join.input for join in step.joins)}
        schemas = {name: fields_of(request_, CHOICES, name) for name in reads}
        verdict = check(queries[step.name], "duckdb", relations=list(schemas))
        assert verdict.ok, verdict.diagnostics
        for text in (queries[step.name], verdict.canonical):
            engine.execute(f"CREATE OR REPLACE TEMP TABLE {step.name} AS {text}")
            compare(step, engine.execute(f"SELECT * FROM {step.name}"), expected[step.name])
        found = diagnostics(verdict.findings, schemas)
        assert not found, found


def compare(step, answer, expected):
    names_ = [each[0] for each in answer.description]
    rows = [dict(zip(names_, row, strict=True)) for row in answer.fetchall()]
    assert rows_of(rows) == rows_of(expected)
    if expected and step.sort:
        keys = [sort.column for sort in step.sort if sort.column in names_]
        shown = [[plain(row[key]) for key in keys] for row in rows]
        assert shown == [[plain(row[key]) for key in keys] for row in expected]
