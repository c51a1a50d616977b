"""What may be read in several ways is asked about, however near one of them is; dates and orders by their names."""

import pytest
from tests.unit.chat.rules.held import messages_of

from osiris.chat.choices import Choices, Column, ForeignKey, Relation, Writer
from osiris.chat.port import Request
from osiris.chat.proposal import Proposal, Question, read
from osiris.chat.rules import Rules

INT, TEXT, MONEY, DATE, TIME = "int64", "utf8", "decimal(10,2)", "date", "timestamp[us]"


def table(name, columns, refers=()):
    made = tuple(Column(each, kind, nullable=False, profile={"null_share": 0.0}) for each, kind in columns.items())
    keys = tuple(ForeignKey((f"{other.removesuffix('s')}_id",), other, ("id",)) for other in refers)
    columns_ = (Column("id", INT, nullable=False), *made)
    source = "@sqlite.app"
    return Relation(f"{source}/{name}", name, source, name, {"connection": source}, columns_, ("id",), keys)


MUSIC = (
    table("genres", {"name": TEXT}),
    table("tracks", {"title": TEXT, "genre_id": INT, "unit_price": MONEY}, ["genres"]),
    table("orders", {"order_date": DATE, "ship_date": DATE, "status": TEXT}),
    table(
        "order_items",
        {"order_id": INT, "track_id": INT, "unit_price": MONEY, "quantity": INT},
        ["orders", "tracks"],
    ),
)
REPAIRS = (
    table("towns", {"label": TEXT, "height": INT}),
    table("shops", {"town_id": INT, "height": INT, "code": TEXT}, ["towns"]),
    table("repairs", {"shop_id": INT, "cost": MONEY, "begun_on": DATE, "handed_on": DATE}, ["shops"]),
    table("notes", {"repair_id": INT, "cost": MONEY, "written_on": DATE}, ["repairs"]),
)
NOTED = (
    table("members", {"name": TEXT, "joined_on": DATE}),
    table("visits", {"member_id": INT, "fee": MONEY, "seen_on": DATE}, ["members"]),
)
TRIPS = (table("trips", {"started_at": TIME, "ended_at": TIME, "start_place": TEXT, "Duration (min)": INT}),)


CODES = ("US", "AT", "IT", "IN", "DE")
SOLD = (
    Relation(
        "@sqlite.app/sales",
        "sales",
        "@sqlite.app",
        "sales",
        {"connection": "@sqlite.app"},
        (
            Column("id", INT, nullable=False),
            Column(
                "country",
                TEXT,
                nullable=False,
                profile={"null_share": 0.0, "values": [{"value": each} for each in CODES]},
            ),
            Column("amount", MONEY, nullable=False),
        ),
        ("id",),
        (),
    ),
)


def understand(relations, *said):
    choices = Choices(relations, (Writer("filesystem.csv_writer", "csv", ()),))
    first, *rest = said
    asked = Request("synthesis", messages_of(f"{first} to csv", *rest), choices)
    return read("synthesis", Rules().complete(asked).value, choices)


def sql(relations, *said):
    found = understand(relations, *said)
    assert isinstance(found, Proposal), found
    return " ".join((found.sql or "").split())


def question(relations, *said):
    found = understand(relations, *said)
    assert isinstance(found, Question), found
    return found


@pytest.mark.parametrize(
    ("relations", "request_", "choices"),
    [
        (MUSIC, "Average unit price per genre name", {"tracks.unit_price", "order_items.unit_price"}),
        (MUSIC, "highest unit price per order status", {"tracks.unit_price", "order_items.unit_price"}),
        (MUSIC, "genre name and unit price", {"tracks.unit_price", "order_items.unit_price"}),
        (MUSIC, "genres with unit price over 5", {"tracks.unit_price", "order_items.unit_price"}),
        (MUSIC, "orders sorted by unit price", {"tracks.unit_price", "order_items.unit_price"}),
        (REPAIRS, "total cost per shop code", {"repairs.cost", "notes.cost"}),
        (REPAIRS, "repairs with height over 9", {"shops.height", "towns.height"}),
    ],
)
def test_a_column_of_two_tables_that_keys_lead_to_is_asked_about(relations, request_, choices):
    assert set(question(relations, request_).choices) == choices


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (["Average unit price of tracks per genre name"], "avg(tracks.unit_price)"),
        (["Average unit price of order items per genre name"], "avg(order_items.unit_price)"),
        (["average track's unit price per genre name"], "avg(tracks.unit_price)"),
        (["tracks with unit price over 5"], "FROM tracks WHERE unit_price > 5"),
        (["Average unit price per genre name", ("column unit price", "order_items.unit_price")], "FROM order_items"),
    ],
)
def test_a_table_that_was_named_or_answered_settles_whose_column_it_is(said, part):
    assert part in sql(MUSIC, *said)


def test_what_rows_refer_to_is_theirs_beside_what_refers_to_them():
    marks = (*REPAIRS, table("marks", {"note_id": INT, "height": INT}, ["notes"]))
    assert question(marks, "repairs with height over 9").choices == ("shops.height", "towns.height")


@pytest.mark.parametrize(
    ("request_", "group"),
    [
        ("monthly count of orders by order_date", "strftime(order_date, '%Y-%m')"),
        ("yearly number of orders by ship date", "year(ship_date)"),
        ("daily count of orders by ship date", "CAST(ship_date AS DATE)"),
        ("weekly orders by order date", "CAST(date_trunc('week', order_date) AS DATE)"),
        ("count of orders per month by ship date", "strftime(ship_date, '%Y-%m')"),
        ("quarterly sum of quantity by ship date", "concat(year(orders.ship_date), '-Q', quarter(orders.ship_date))"),
        ("monthly count of orders by status and ship date", "strftime(ship_date, '%Y-%m'), status"),
        ("monthly count of orders by order date, month written like 2024-05", "strftime(order_date, '%Y-%m')"),
        ("monthly count of orders by ship date (month shown as YYYY-MM)", "strftime(ship_date, '%Y-%m')"),
    ],
)
def test_a_date_beside_a_period_is_what_the_period_is_of(request_, group):
    found = sql(MUSIC, request_)
    assert f"GROUP BY {group} ORDER BY" in found
    assert "WHERE" not in found


@pytest.mark.parametrize(
    "request_",
    [
        "number of orders per status, month written like 2024-05",
        "monthly count of orders by order date, month written like 2024-05-01",
        "number of orders per year and month of order date, month written like 2024-05",
        "orders like 2024-05",
        "orders as of 2024-05",
    ],
)
def test_a_time_written_otherwise_than_it_comes_out_is_asked_about(request_):
    assert question(MUSIC, request_).about.startswith("word")


@pytest.mark.parametrize(
    ("relations", "request_", "choices"),
    [
        (MUSIC, "rows of the orders table dated in March 2025", {"orders.order_date", "orders.ship_date"}),
        (MUSIC, "orders dated 2024-03-05", {"orders.order_date", "orders.ship_date"}),
        (MUSIC, "orders dated after 2024-03-05", {"orders.order_date", "orders.ship_date"}),
        (REPAIRS, "repairs in March 2025", {"repairs.begun_on", "repairs.handed_on"}),
        (REPAIRS, "repairs from 2024", {"repairs.begun_on", "repairs.handed_on"}),
        (NOTED, "member name and visit fee in March 2025", {"members.joined_on", "visits.seen_on"}),
        (TRIPS, "trips dated in March 2025", {"trips.started_at", "trips.ended_at"}),
    ],
)
def test_a_time_of_no_date_is_asked_about_where_there_are_several(relations, request_, choices):
    assert set(question(relations, request_).choices) == choices


def test_a_time_of_no_date_is_that_of_rows_which_refer_to_others():
    for request_ in (
        "number of visits per member name in March 2025",
        "average visit fee per member name in March 2025",
    ):
        assert "WHERE visits.seen_on >= DATE '2025-03-01'" in sql(NOTED, request_)
    counted = "members and number of their visits in March 2025"
    asked = question(NOTED, counted, ("empty members", "leave them out"))
    assert asked.choices == ("members.joined_on", "visits.seen_on")


def test_the_answer_and_an_only_date_settle_what_a_time_is_of():
    answered = sql(MUSIC, "orders dated in March 2025", ("date dated in March 2025", "orders.ship_date"))
    assert "ship_date >= DATE '2025-03-01' AND ship_date < DATE '2025-04-01'" in answered
    assert "WHERE written_on >= DATE '2025-03-01'" in sql(REPAIRS, "notes dated in March 2025")


@pytest.mark.parametrize(
    ("request_", "order"),
    [
        ("Trips that took over 45 minutes, latest start first", "started_at DESC"),
        ("Trips that took over 45 minutes, earliest end first", "ended_at"),
        ("trips lasting over 0.75 hours, latest start date first", "started_at DESC"),
    ],
)
def test_a_date_is_called_by_what_happened_then_and_a_unit_by_its_column(request_, order):
    assert f"""WHERE "Duration (min)" > 45 ORDER BY {order}, id""" in sql(TRIPS, request_)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("words", ["sales from {}", "total amount of sales in {}", "sales of country {}", "{} sales"])
def test_a_short_value_is_no_filler(code, words):
    assert f"country = '{code}'" in sql(SOLD, words.format(code))
