"""The guide as a pure state machine: answers in, a request out, without sources, terminal or files."""

import json

import pytest

from osiris.chat.guide.draft import EMPTY, Answer, Ask, Compare, Draft, Look, Propose, Show, match_options
from osiris.chat.guide.flow import Machine
from osiris.chat.guide.sources import option_of
from osiris.chat.request import Chosen, Computed, Filter, Group, Join, Match, Measure, Output, Pick, Pivot, Sort, Source

WRITERS = [
    {"component": "filesystem.parquet_writer", "ending": "parquet", "modes": [], "connections": []},
    {"component": "filesystem.csv_writer", "ending": "csv", "modes": [], "connections": []},
    {
        "component": "sqlite.writer",
        "ending": None,
        "modes": ["append", "replace", "upsert"],
        "connections": ["@sqlite.shop"],
    },
]


def table(name, columns, *, values=(), keys=()):
    profile = {
        "columns": {
            column: {"values": [{"value": value, "share": 0.5} for value in found]}
            for column, found in dict(values).items()
        }
    }
    return {
        "name": name,
        "rows": 10,
        "comment": None,
        "columns": [
            {"name": column, "type": type_, "nullable": True, "comment": None} for column, type_ in columns.items()
        ],
        "primary_key": [],
        "foreign_keys": list(keys),
        "closed": [],
        "step": {"component": "filesystem.csv_extractor", "mode": "read", "config": {"path": name}},
        "profile": profile,
    }


ORDERS = table(
    "orders.csv",
    {"id": "int64", "customer_id": "int64", "placed": "date", "amount": "float64", "status": "utf8"},
    values={"status": ["paid", "open", "US"]},
)
CUSTOMERS = table("customers.csv", {"id": "int64", "name": "utf8", "country": "utf8"})
TABLES = {"orders.csv": ORDERS, "customers.csv": CUSTOMERS}


class Person:
    """Answers the machine: by the shown question, or with tables and figures prepared here."""

    def __init__(self, figures=(80, 80, 1)):
        self.machine = Machine(lambda: Draft(EMPTY, lambda: WRITERS, {}))
        self.figures = list(figures)
        self.told = []
        self.confirm = []
        self.asked = []

    def say(self, *answers):
        for words in answers:
            ask = self._question()
            self.asked.append(ask.text)
            if words == "BACK":
                assert self.machine.back()
                continue
            self.machine.give(json.loads(self._answer(ask, words).recorded()))
        return self

    def _answer(self, ask, words):
        options = [option_of(name, name, name) for name in TABLES] if ask.source else ask.options
        if words.startswith("="):
            return Answer(text=words[1:])
        found = match_options(words, options, several=ask.several, display=str).options
        assert found, (words, [each.label for each in options])
        return Answer(tuple(each.key for each in found))

    def _question(self):
        while not isinstance(self.machine.effect, Ask):
            self.machine.give(self._given(self.machine.effect))
        return self.machine.effect

    def _given(self, effect):
        if isinstance(effect, Look):
            found = TABLES.get(effect.table)
            return {"table": found} if found else {"reason": "it is gone"}
        if isinstance(effect, Compare):
            return self.figures
        if isinstance(effect, Show):
            if not effect.text.startswith(("  columns (", "  comparing")):
                self.told.append(effect.text)
            return None
        assert isinstance(effect, Propose)
        return {"ok": True, "diagnostics": [], "short": "abc", "confirm": self.confirm, "oml": "", "fingerprint": "abc"}

    @property
    def request(self):
        if self.machine.agreed is None:
            self._question()
        return self.machine.draft.request

    @property
    def step(self):
        return self.request.steps[-1]


def test_a_pipeline_in_a_few_choices():
    person = Person().say(
        "orders.csv",
        "Group and measure",
        "status, month of placed",
        "number of rows, sum of amount",
        "Write a Parquet file",
        "Yes, save it and run it",
    )
    assert person.machine.agreed.action == "run"
    request = person.request
    assert request.name == "orders_by_status_placed_month"
    assert request.sources == (Source("orders.csv"),)
    (step,) = request.steps
    assert step.group == (Group("status"), Group("placed", "month", "placed_month"))
    assert step.measures == (Measure("rows", "count"), Measure("sum_amount", "sum", "amount"))
    path = "output/orders_by_status_placed_month.parquet"
    assert request.outputs == (Output(step.name, "filesystem.parquet_writer", path=path),)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["status", "paid"], Filter("status", "=", ("paid",))),
        (["status", "paid, US"], Filter("status", "in", ("paid", "US"))),
        (["status", "=closed"], Filter("status", "=", ("closed",))),
        (["status", "=us", "US"], Filter("status", "=", ("US",))),
        (["status", "=us", "us"], Filter("status", "=", ("us",))),
        (["status", "is empty"], Filter("status", "is empty")),
        (["status", "is not …", "open"], Filter("status", "!=", ("open",))),
        (["status", "contains …", "=ai"], Filter("status", "contains", ("ai",))),
        (["amount", "at least …", "=10.5"], Filter("amount", ">=", ("10.5",))),
        (
            ["placed", "between … and …", "=2025-01-01", "=2025-01-31"],
            Filter("placed", "between", ("2025-01-01", "2025-01-31")),
        ),
        (["id", "equals another column …", "customer_id"], Filter("id", "=", other="customer_id")),
    ],
)
def test_a_condition(answers, expected):
    assert Person().say("orders.csv", "Keep some rows", *answers).step.filters == (expected,)


def test_values_and_a_condition_do_not_go_together():
    person = Person().say("orders.csv", "Keep some rows", "status", "paid, is empty", "paid")
    assert person.told == ["Choose values, or one condition."]
    assert person.step.filters == (Filter("status", "=", ("paid",)),)


def test_a_share_comes_with_what_it_is_a_share_of():
    person = Person().say("orders.csv", "Group and measure", "status", "share of the number of rows, sum of amount")
    assert [(each.name, each.function, each.column, each.of) for each in person.step.measures] == [
        ("rows", "count", None, None),
        ("share_rows", "share of total", None, "rows"),
        ("sum_amount", "sum", "amount", None),
    ]
    person = Person().say("orders.csv", "Group and measure", "status", "share of the sum of amount, sum of amount")
    assert [(each.name, each.of) for each in person.step.measures] == [
        ("sum_amount", None),
        ("share_sum_amount", "sum_amount"),
    ]


def test_a_join_by_a_computed_column_is_another_step():
    person = Person().say("orders.csv", "Compute a column", "text in upper case", "status")
    person.say("Join another table", "customers.csv", "id")
    first, second = person.request.steps
    assert (len(first.compute), first.joins, second.input, len(second.joins)) == (1, (), first.name, 1)


def test_columns_are_compared_with_each_other():
    person = Person().say("orders.csv", "Keep some rows", "id", "more than another column …", "customer_id")
    assert person.step.filters == (Filter("id", ">", other="customer_id"),)


@pytest.mark.parametrize("spelled", ["CustomerID", "customer_id", "Customer Id", "cust_id"])
def test_keys_are_found_in_another_spelling(spelled, monkeypatch):
    monkeypatch.setitem(TABLES, "customers.csv", table("customers.csv", {spelled: "int64", "name": "utf8"}))
    person = Person().say("orders.csv", "Join another table", "customers.csv")
    assert "By which key" in person._question().text
    assert f"customer_id{'' if spelled == 'customer_id' else f' = {spelled}'}" in labels(person)


@pytest.mark.parametrize(
    ("column", "values", "figures", "offered"),
    [
        (
            *("client_no", (), (80, 41, 1)),
            [
                "client_no = client, keep rows without a match",
                "client_no = client, drop rows without a match",
                "other columns …",
            ],
        ),
        ("client_no", (), (80, 40, 1), ["other columns …"]),
        ("buyer", ["C-1", "C-2"], (80, 80, 1), ["buyer = client", "other columns …"]),
        ("buyer", ["C-1", "C-2"], (80, 10, 1), ["other columns …"]),
        ("buyer", ["D-1"], (80, 80, 1), ["other columns …"]),
    ],
)
def test_keys_that_are_only_likely_need_matches(column, values, figures, offered, monkeypatch):
    there = table("clients.csv", {"client": "utf8"}, values={"client": ["C-2", "C-3"]})
    here = table("sales.csv", {column: "utf8"}, values={column: values})
    monkeypatch.setitem(TABLES, "clients.csv", there)
    monkeypatch.setitem(TABLES, "sales.csv", here)

    person = Person(figures).say("sales.csv", "Join another table", "clients.csv")

    assert [each.label for each in person._question().options] == offered


def test_texts_that_spell_times_are_sorted_as_times(monkeypatch):
    seen = table("scans.csv", {"at": "utf8", "by": "utf8"}, values={"at": ["2025-03-01T10:00:00"], "by": ["ann"]})
    monkeypatch.setitem(TABLES, "scans.csv", seen)

    person = Person().say("scans.csv", "Sort")

    assert labels(person) == {"at (latest first)", "at (earliest first)", "by (A to Z first)", "by (Z to A first)"}


def test_measures_of_one_kind_stand_together():
    person = Person().say("orders.csv", "Group and measure", "no groups")

    of = [each.key.split("|") for each in person._question().options]
    numbers, every = ["id", "customer_id", "amount"], ["id", "customer_id", "placed", "amount", "status"]
    expected = {"sum": numbers, "average": numbers, "minimum": every, "maximum": every}
    expected |= {"median": numbers, "count distinct": every, "count": every}
    assert of == [["count", ""]] + [[function, column] for function, columns in expected.items() for column in columns]


def test_values_become_columns():
    person = Person().say("orders.csv", "Columns from values", "status", "paid, open")
    person.say("month of placed", "sum of amount")
    assert person.step.group == (Group("placed", "month", "placed_month"),)
    assert person.step.pivot == Pivot("status", ("paid", "open"), "sum", "amount")
    assert [*person.machine.draft.result()] == ["placed_month", "paid", "open"]


def test_each_different_row_once():
    person = Person().say("customers.csv", "Each different row once")
    person.say("Sort", "id (smallest first)")
    assert person.step.group == (Group("id"), Group("name"), Group("country"))
    assert [*person.machine.draft.result()] == ["id", "name", "country"]


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        (["06.08.2022", "31.12.1939"], ["day.month.year", "year-month-day or day.month.year"]),
        (
            ["06/08/2022"],
            [
                "day/month/year",
                "month/day/year",
                "year-month-day or day/month/year",
                "year-month-day or month/day/year",
            ],
        ),
        (["06/30/2022", "05/01/2022"], ["month/day/year", "year-month-day or month/day/year"]),
        (["2022-06-30"], ["year-month-day"]),
        (["31.12.1939", "2025-12-17"], ["year-month-day or day.month.year"]),
        (["05/14/2025", "05/03/2025", "2025-01-05"], ["year-month-day or month/day/year"]),
        (["05/04/2025", "2025-01-05"], ["year-month-day or day/month/year", "year-month-day or month/day/year"]),
    ],
)
def test_a_text_is_read_as_a_date_in_a_way_that_fits_its_values(values, offered, monkeypatch):
    monkeypatch.setitem(TABLES, "orders.csv", table("orders.csv", {"born": "utf8"}, values={"born": values}))
    person = Person(figures=()).say("orders.csv", "Compute a column", "read a text as a date", "born")
    assert labels(person) == set(offered)
    person.say(offered[0], "Keep some rows", "born_date", "less than …", "=1940-01-01")
    assert person.step.compute[0].function == "convert"
    assert person.machine.draft.result()["born_date"] == "date"
    assert person.step.filters == (Filter("born_date", "<", ("1940-01-01",)),)


@pytest.mark.parametrize(
    ("function", "values"),
    [
        ("read a text as a date", ["01-02-24"]),
        ("read a text as a date", ["05/14/2025", "14/05/2025"]),
        ("read a text as a date and time", ["01-02-24 10:00"]),
        ("read a text as a number", ["1.234,50", "7.5"]),
    ],
)
def test_a_text_that_fits_no_spelling_is_not_read(function, values, monkeypatch):
    monkeypatch.setitem(TABLES, "orders.csv", table("orders.csv", {"born": "utf8"}, values={"born": values}))
    person = Person().say("orders.csv", "Compute a column", function, "born")
    assert person._question().text == "What next?"
    assert "born" in person.told[-1]


def test_a_text_that_spells_dates_is_compared_as_one(monkeypatch):
    born = table("orders.csv", {"born": "utf8"}, values={"born": ["31.12.1939", "2025-12-17"]})
    monkeypatch.setitem(TABLES, "orders.csv", born)
    person = Person(figures=()).say("orders.csv", "Keep some rows", "born")
    person.say("as a date, less than …", "year-month-day or day.month.year", "=1940-01-01")
    assert person.step.compute == (Computed("born_date", "convert", "born", value="date %Y-%m-%d or %d.%m.%Y"),)
    assert person.step.filters == (Filter("born_date", "<", ("1940-01-01",)),)


def test_dates_that_texts_spell_are_computed_where_they_are_grouped_and_ordered_by(monkeypatch):
    born = table("orders.csv", {"born": "utf8", "by": "utf8"}, values={"born": ["31.12.1939", "01.02.1990"]})
    monkeypatch.setitem(TABLES, "orders.csv", born)
    date = Computed("born_date", "convert", "born", value="date %d.%m.%Y")
    person = Person(figures=(2, 2, 2)).say("orders.csv", "Group and measure", "month of born", "number of rows")
    assert person.step.compute == (date,)
    assert person.step.group == (Group("born_date", "month", "born_month"),)
    person = Person(figures=(2, 2, 2)).say("orders.csv", "One row per group", "by", "born (latest date first)")
    assert person.step.compute == (date,)
    assert person.step.pick == Pick(("by",), (Sort("born_date", descending=True),), 1)


@pytest.mark.parametrize(
    ("chosen", "conditions"),
    [
        ("status is paid", (Filter("status", "=", ("paid",)),)),
        ("status is paid, status is open", (Filter("status", "in", ("paid", "open")),)),
        (
            "status is paid, amount is not empty",
            (Filter("status", "=", ("paid",)), Filter("amount", "is not empty")),
        ),
        (
            "status is empty, status is paid, status is open",
            (Filter("status", "in", ("paid", "open"), either=1), Filter("status", "is empty", either=1)),
        ),
    ],
)
def test_rows_are_kept_by_values_of_columns(chosen, conditions):
    assert Person().say("orders.csv", "Keep some rows", chosen).step.filters == conditions


def test_a_column_and_values_are_not_mixed():
    person = Person().say("orders.csv", "Keep some rows", "amount, status is paid")
    assert person.request.steps == ()
    assert person.told == ["Choose one column, or values."]


def test_both_columns_of_a_quotient_are_chosen_at_once():
    person = Person().say("orders.csv", "divide two numbers", "amount, id")
    assert person.step.compute == (Computed("amount_divide_id", "divide", "amount", "id"),)
    person = Person().say("orders.csv", "divide two numbers", "amount, id, customer_id")
    assert person.request.steps == ()
    assert person.told == ["Choose one column, or two."]


def test_groups_and_measures_are_chosen_at_once():
    person = Person().say("orders.csv", "Group and measure", "status, number of rows, sum of amount")
    assert person.step.group == (Group("status"),)
    assert person.step.measures == (Measure("rows", "count"), Measure("sum_amount", "sum", "amount"))
    person = Person().say("orders.csv", "Group and measure", "number of rows")
    assert person.step.group == ()


def test_numbers_that_one_notation_fits_are_read_without_a_question(monkeypatch):
    monkeypatch.setitem(TABLES, "orders.csv", table("orders.csv", {"cost": "utf8"}, values={"cost": ["1.234,50"]}))
    person = Person().say("orders.csv", "read a text as a number", "cost")
    assert person.step.compute == (Computed("cost_number", "convert", "cost", value="decimal(18,2) 1.234,5"),)
    assert person.told[0] == "cost spells numbers as two decimal places, as 1.234,50."


def test_a_part_of_a_text_is_replaced_and_the_text_read_as_a_number():
    person = Person().say("customers.csv", "Compute a column", "replace a part of a text", "name", "=,", "=.")
    person.say("read a text as a number", "name_replace", "any decimal places, as 1234.5678")
    assert person.step.compute == (
        Computed("name_replace", "replace", "name", value=",", new="."),
        Computed("name_replace_number", "convert", "name_replace", value="float64"),
    )


def test_a_condition_on_groups_is_another_step():
    person = Person().say("orders.csv", "Group and measure", "status", "number of rows")
    person.say("Keep some rows", "rows", "more than …", "=5")
    first, second = person.request.steps
    assert (first.filters, second.input, second.filters) == ((), first.name, (Filter("rows", ">", ("5",)),))


def test_computed_columns_order_and_the_first_rows():
    person = Person().say("orders.csv", "Compute a column", "month of a date", "placed")
    person.say("multiply two numbers", "amount", "=1.21")
    assert person.step.compute == (
        Computed("placed_month", "month", "placed"),
        Computed("amount_multiply", "multiply", "amount", value="1.21"),
    )
    person.say("Sort, first N rows", "amount (largest first)", "=3", "Choose columns", "id, amount")
    assert person.request.steps[0].sort == (Sort("amount", descending=True),)
    assert person.request.steps[0].limit == 3
    assert person.request.steps[1].columns == (Chosen("id"), Chosen("amount"))


@pytest.mark.parametrize(("between", "value"), [("a blank", " "), ("nothing", ""), ("=, ", ", ")])
def test_two_texts_are_joined_with_something_between_them(between, value):
    person = Person().say("customers.csv", "Compute a column", "join two texts", "name", "country", between)
    assert person.step.compute == (Computed("name_join_text_country", "join text", "name", "country", value),)


def test_the_first_rows_of_each_group_in_an_order_of_several_columns():
    keys = "placed (latest first), amount (largest first)"
    person = Person().say("orders.csv", "First N rows per group", "status", keys, "=2")
    assert person.step.pick == Pick(("status",), (Sort("placed", descending=True), Sort("amount", descending=True)), 2)


def test_the_latest_row_of_each_group():
    person = Person().say("orders.csv", "One row per group", "customer_id", "placed (latest first)")
    assert person.step.pick == Pick(("customer_id",), (Sort("placed", descending=True),), 1)


def test_a_join_by_a_key_that_was_measured():
    person = Person(figures=(80, 80, 1)).say("orders.csv", "Join another table", "customers.csv", "customer_id = id")
    person.say("Group and measure", "country", "number of rows")
    assert "All 80 values match." in person.told
    assert person.request.steps[0].joins == (Join("customers", (Match("customer_id", "id"),), "keep"),)


def test_rows_without_a_match_are_asked_about():
    person = Person(figures=(80, 79, 1)).say(
        "orders.csv", "Join another table", "customers.csv", "customer_id = id, drop rows without a match"
    )
    assert person.step.joins == (Join("customers", (Match("customer_id", "id"),), "drop"),)


def test_a_join_that_multiplies_rows_is_confirmed_by_itself():
    answers = ("orders.csv", "Join another table", "customers.csv", "customer_id = id")
    person = Person(figures=(80, 80, 7)).say(*answers, "no, do not join customers.csv")
    assert person.request.steps == ()
    person = Person(figures=(80, 80, 7)).say(*answers, "yes, rows may become more")
    assert len(person.step.joins) == 1


def test_back_forgets_the_last_answer_alone():
    person = Person().say("orders.csv", "Keep some rows", "status", "BACK", "amount", "is empty")
    assert person.step.filters == (Filter("amount", "is empty"),)
    person.say("BACK", "BACK", "status", "paid")
    assert person.step.filters == (Filter("status", "=", ("paid",)),)


def test_a_join_that_was_not_measured_is_confirmed_unless_a_key_is_declared():
    words = ("orders.csv", "Join another table", "customers.csv", "customer_id = id, keep rows without a match")
    person = Person()
    person.figures = None
    person.say(*words, "no, do not join customers.csv")
    person.say("Join another table", *words[2:], "yes, rows may become more")
    assert person.asked[4].startswith("customers.csv has perhaps several rows, which was not measured")
    assert len(person.step.joins) == 1
    TABLES["customers.csv"] = {**CUSTOMERS, "primary_key": ["id"]}
    try:
        declared = Person()
        declared.figures = None
        declared.say(*words)
    finally:
        TABLES["customers.csv"] = CUSTOMERS
    assert len(declared.step.joins) == 1


def test_the_first_question_has_none_before_it():
    assert not Person().machine.back()


def test_what_a_table_has_is_shown_and_what_cannot_be_shown_is_counted():
    TABLES["odd.csv"] = table("odd.csv", {"id": "int64", "a\nb": "utf8"})
    try:
        person = Person().say("odd.csv")
        person._question()
    finally:
        del TABLES["odd.csv"]
    told = [effect.text for effect, _ in person.machine.history if isinstance(effect, Show)]
    assert told == ["  columns (1): id int64\n  not offered, as their names cannot be shown: 1"]


def test_what_cannot_be_read_is_said_and_asked_again():
    TABLES["gone.csv"] = None
    try:
        person = Person().say("gone.csv", "orders.csv", "Write the result", "CSV file")
    finally:
        del TABLES["gone.csv"]
    assert person.told == ["gone.csv cannot be read: it is gone"]
    assert person.request.sources == (Source("orders.csv"),)


def test_a_table_with_mode_and_key():
    person = Person().say("orders.csv", "Write the result", "table of @sqlite.shop", "=copy", "upsert", "id")
    person._question()
    output = person.request.outputs[0]
    assert (output.connection, output.table, output.mode, output.key) == ("@sqlite.shop", "copy", "upsert", ("id",))


def test_what_would_be_lost_is_confirmed_by_itself():
    person = Person()
    person.confirm = ["x is there already and will be overwritten."]
    person.say("orders.csv", "Write the result", "CSV file", "Save it, do not run it")
    assert person.machine.agreed is None
    person.say("no, choose another target", "Parquet file", "Save it, do not run it", "yes")
    assert person.machine.agreed.action == "save"
    assert person.request.outputs[0].path.endswith(".parquet")


def test_another_name_goes_for_the_file_too():
    person = Person().say(
        "orders.csv", "Write the result", "CSV file", "Another name", "=My Orders", "Save it, do not run it"
    )
    assert (person.request.name, person.request.outputs[0].path) == ("my_orders", "output/my_orders.csv")


TYPES = {"day": "date", "at": "timestamp[us]", "ok": "bool", "open": "time[us]", "key": "uuid", "name": "utf8"}
ODD = table("odd.csv", {**TYPES, "all": "json"})


def labels(person):
    return {each.label for each in person._question().options}


@pytest.fixture
def odd():
    TABLES["odd.csv"] = ODD
    yield Person().say("odd.csv")
    del TABLES["odd.csv"]


@pytest.mark.parametrize(
    ("function", "columns"),
    [
        ("hour of a timestamp", {"at", "open"}),
        ("year of a date", {"day", "at"}),
        ("text in lower case", {"name"}),
        ("another value where one is empty", {"day", "at", "ok", "open", "key", "name"}),
    ],
)
def test_a_function_is_offered_for_columns_that_it_takes(function, columns, odd):
    odd.say("Compute a column", function)
    assert labels(odd) == columns


@pytest.mark.parametrize(
    ("column", "typed", "offered", "missing"),
    [
        ("ok", "truth", "is not …", "contains …"),
        ("open", "time", "at least …", "contains …"),
        ("key", "uuid", "is not …", "contains …"),
        ("name", "text", "contains …", "at least …"),
        ("all", None, "is empty", "is not …"),
    ],
)
def test_a_condition_is_offered_for_columns_that_it_takes(column, typed, offered, missing, odd):
    odd.say("Keep some rows", column)
    assert odd._question().typed == typed
    assert offered in labels(odd)
    assert missing not in labels(odd)


def test_days_are_counted_to_a_day(odd):
    odd.say("Compute a column", "days between two dates", "at")
    assert (odd._question().typed, labels(odd)) == ("date", {"day"})


def test_what_cannot_be_carried_out_is_left_out_and_the_conversation_goes_on():
    person = Person().say("orders.csv", "Keep some rows", "amount", "more than …", "=1")
    person.say("Compute a column", "first characters of a text or date", "status", "=0")
    assert person.request.steps[0].compute == ()
    assert person.told[-1].startswith("This does not work, and is left out: ")
    person.say(
        "Group and measure", "status", "number of rows", "Write the result", "CSV file", "Save it, do not run it"
    )
    assert person.machine.agreed.action == "save"


FLAGS = {
    "--where status = paid": ("Keep some rows", "status", "paid"),
    "--where status in paid, open": ("Keep some rows", "status", "paid, open"),
    "--where 'amount >= 10'": ("Keep some rows", "amount", "at least …", "=10"),
    "--group status, month(placed) as placed_month --count --sum amount": (
        "Group and measure",
        "status, month of placed",
        "number of rows, sum of amount",
    ),
    "--latest placed per customer_id": ("One row per group", "customer_id", "placed (latest first)"),
    "--columns id, status": ("Choose columns", "id, status"),
    "--sort amount desc --limit 3": ("Sort, first N rows", "amount (largest first)", "=3"),
    "--compute amount_multiply = amount * 2": ("multiply two numbers", "amount", "=2"),
    "--compute placed_first_characters = first-characters(placed, 7)": (
        "Compute a column",
        "first characters of a text or date",
        "placed",
        "=7",
    ),
}


@pytest.mark.parametrize("line", FLAGS)
def test_flags_that_are_typed_are_the_choices(line):
    assert Person().say("orders.csv", f"={line}").request == Person().say("orders.csv", *FLAGS[line]).request


def test_one_line_has_all_parts_and_the_target():
    line = "--where status = paid --group customer_id --sum amount --sort sum_amount desc --limit 3 --to output/x.csv"
    person = Person().say("orders.csv", f"={line}", "Yes, save it and run it")
    assert person.machine.agreed.action == "run"
    assert (person.request.name, person.request.outputs[0].path) == ("x", "output/x.csv")
    assert person.step.limit == 3


def test_flags_go_on_where_a_line_before_them_ended():
    lines = (
        "--group status",
        "--sum amount as total",
        "--ratio total / total as one",
        "--sort total",
        "--where one = 1",
    )
    first, second = Person().say("orders.csv", *(f"={line}" for line in lines)).request.steps
    assert [each.name for each in first.measures] == ["total", "one"]
    assert (first.sort, second.filters) == ((Sort("total"),), (Filter("one", "=", ("1",)),))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--where stat = paid", "there is no column 'stat'"),
        ("--join customers.csv on customer_id = id", "is no flag that is taken here"),
        ("--wher status = paid", "is no flag that is taken here"),
        ("--where status", "is no condition"),
        ("--limit many", "is not a number of rows"),
        ("--group status --sum name", "there is no column 'name'"),
        ("--where amount = cheap", "--where: 'cheap' is no value"),
        ("--mode append", "has no effect without --to"),
        ("--Where status = paid", "--Where: is no flag"),
        ("--where status in paid,--count", "--count: is not understood"),
        ("--count amount", "takes no value"),
        ("--group customer_id --sum", "--sum: has no value"),
        ("--limit 3 --limit 5", "--limit: is there twice"),
        ("--to output/x.csv --to output/y.csv", "--to: is there twice"),
        ('--where status = "a', "is not understood"),
        ("--where 'status = O'Brien", "has unbalanced quotes"),
        ("--to @sqlite.shop/orders --mode nonsense", "is not a mode"),
        ("--to output/x.exe", "does not end like a file"),
        ("--to @sqlite.shop/orders", "does not say how rows go"),
    ],
)
def test_a_line_that_cannot_be_carried_out_is_told_and_nothing_of_it_kept(line, told):
    person = Person().say("orders.csv", "=--where id > 1")
    before = person.request
    assert person.say(f"=--sort id {line}").request == before
    assert told in person.told[-1]


def test_a_number_is_rounded_in_its_place():
    person = Person().say("orders.csv", "Group and measure", "status", "average of amount, number of rows")
    person.say("round a number", "average_amount", "=2")
    assert list(person.machine.draft.result()) == ["status", "rows", "average_amount"]
    assert person.step.compute == (Computed("average_amount_round", "round", "average_amount", value="2"),)


def test_a_column_of_two_tables_is_computed_with_by_the_name_that_is_shown(monkeypatch):
    monkeypatch.setitem(TABLES, "customers.csv", table("customers.csv", {"id": "int64", "amount": "float64"}))
    person = Person().say("orders.csv", "Join another table", "customers.csv", "customer_id = id")
    person.say("subtract two numbers", "amount", "customers_amount")
    person.say("Write the result", "CSV file", "Save it, do not run it")
    assert person.machine.agreed.action == "save"
    assert person.told == ["All 80 values match.", "The new column is amount_subtract_customers_amount."]


@pytest.mark.parametrize(
    ("figures", "told", "asked"),
    [
        ((460, 460, 460), "born spells all dates as day.month.year.", None),
        ((460, 314, 460), "born spells all dates as year-month-day or day.month.year.", None),
        ((460, 314, 459), None, ["year-month-day or day.month.year", "day.month.year"]),
        ((), None, ["day.month.year", "year-month-day or day.month.year"]),
    ],
)
def test_the_way_in_which_all_dates_are_spelled_is_not_asked_for(monkeypatch, figures, told, asked):
    born = table("orders.csv", {"born": "utf8"}, values={"born": ["31.12.1939", "01.02.1940"]})
    monkeypatch.setitem(TABLES, "orders.csv", born)
    person = Person(figures=figures).say("orders.csv", "read a text as a date", "born")
    question = person._question()
    assert [each.label for each in question.options] == asked or question.text == "What next?"
    assert told is None or told in person.told


def test_several_texts_are_read_as_dates_at_once(monkeypatch):
    texts = {"born": ["31.12.1939"], "died": ["01.02.2001"]}
    monkeypatch.setitem(TABLES, "orders.csv", table("orders.csv", dict.fromkeys(texts, "utf8"), values=texts))
    person = Person(figures=(9, 9, 9)).say("orders.csv", "read a text as a date", "born, died")
    person.say("days between two dates", "born_date", "died_date")
    assert [each.name for each in person.step.compute] == ["born_date", "died_date", "born_date_days_between_died_date"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ('--where status = "x --count "', ("x --count ",)),
        ("--where=status = paid", ("paid",)),
        ("--where status = O'Brien", ("O'Brien",)),
        ("""--where 'status = O'"'"'Brien'""", ("O'Brien",)),
        ("--where status = a--b", None),
    ],
)
def test_a_value_of_a_line_is_what_was_meant(line, values):
    person = Person().say("orders.csv", f"={line}")
    found = [each.values for step in person.request.steps for each in step.filters]
    assert found == ([values] if values else [])


def test_a_measure_after_different_rows_is_a_step_of_its_own():
    person = Person().say("orders.csv", "Each different row once", "=--count")
    assert [len(each.group) for each in person.request.steps] == [5, 0]
    person.say("=--sort rows", "=--sort rows desc")
    assert person.step.sort == (Sort("rows", descending=True),)
