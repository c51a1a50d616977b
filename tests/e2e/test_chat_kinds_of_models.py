"""An ideal model and a careless one behind HTTP: what each leads to before the person confirms.

For an obedient one see `test_chat_injection` and `test_chat_providers`.
"""

import csv

import pytest
from tests.e2e.test_chat_providers import configure
from tests.servers.models import model_server, value
from tests.servers.models.careless import MISTAKES, careless
from tests.unit.chat.providers.asking import KEY, PROVIDERS
from tests.unit.chat.talking import Person, interest, make_project, typed

from osiris.api import open_project
from osiris.chat.conversation import Options, begin

ORDERS, CUSTOMERS = (f"@sqlite.shop/{name}" for name in ("orders", "customers"))
WORDS = "total and number of orders per country and name of the customers, placed on 2024-02, to csv"
STEP = {
    "name": "totals",
    "input": "orders",
    "joins": [
        {"input": "customers", "on": [{"left": "customer_id", "right": "id"}], "unmatched": "drop"},
    ],
    "filters": [{"column": "placed_on", "operator": "starts with", "values": ["2024-02"]}],
    "group": [{"column": "country"}, {"column": "name"}],
    "measures": [{"name": "number", "function": "count"}, {"name": "total", "function": "sum", "column": "total"}],
}
IDEAL = typed(STEP, ORDERS, CUSTOMERS, name="totals")


def talk(root, provider, answer, *words, yes=False):
    """Hold a conversation with a model that gives these answers; returns the person."""
    person = Person(WORDS, *words, yes=yes)
    with model_server([value(interest(ORDERS, CUSTOMERS)), value(answer)]) as server:
        configure(root, server, provider)
        begin(open_project(root, {"MODEL_KEY": KEY}), Options(), person)
    return person


def read_back(person):
    (plan,) = person.all("plan")
    return [line.strip() for output in plan["check"]["plan"]["read_back"] for line in output["lines"]]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_ideal_model_ends_in_the_right_rows(provider, tmp_path):
    project = make_project(tmp_path / "project")
    talk(project, provider, IDEAL, yes=True)
    with (project / "output" / "totals.csv").open() as file:
        assert list(csv.reader(file)) == [["country", "name", "number", "total"], ["SE", "Bo", "2", "25"]]


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    """The read-back lines of what was meant."""
    return read_back(talk(make_project(tmp_path_factory.mktemp("right") / "project"), "openai", IDEAL))


KEPT = "keep starts_with(orders.placed_on, '2024-02')"
JOINED = "join orders with customers on orders.customer_id = customers.id; unmatched rows dropped"
READ_BACK = {
    "without_filter": ({KEPT}, set()),
    "other_value": ({KEPT}, {KEPT.replace("-02", "-01")}),
    "without_group": (
        {
            "column name: customers.name",
            "note: different rows of customers with the same name are counted as one group (its key is id)",
            "one row per customers.country and customers.name",
        },
        {"one row per customers.country"},
    ),
    "other_key": ({JOINED}, {JOINED.replace("orders.customer_id", "orders.id")}),
    "kept_unmatched": ({JOINED}, {JOINED.replace("rows dropped", "rows of orders kept")}),
    "other_measure": ({"column total: sum of orders.total"}, {"column total: average of orders.total"}),
}
"""For each mistake, the missing lines, and those in their place."""


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_careless_models_mistake_is_read_back_before_the_yes(mistake, tmp_path, right):
    project = make_project(tmp_path / "project")
    person = talk(project, "openai", careless(IDEAL, mistake))
    assert person.all("assistant_response")[-1]["about"] == "accept", person.heard
    found = read_back(person)
    assert (set(right) - set(found), set(found) - set(right)) == READ_BACK[mistake]
    assert not (project / "output").exists()
