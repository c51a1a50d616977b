"""A query that does not pass is left to the person."""

import os

import pytest
from tests.unit.chat.talking import make_project, proposal

from osiris.api import open_project
from osiris.chat.found import read_names, with_looked
from osiris.chat.live import LiveWorld
from osiris.chat.oml import render
from osiris.chat.port import Request
from osiris.chat.proposal import Refusal, read
from osiris.chat.rules import Rules

ORDERS = "@sqlite.shop/orders"


@pytest.fixture
def live(tmp_path):
    return LiveWorld(open_project(make_project(tmp_path / "project"), dict(os.environ)), Rules(), None, "c")


def regenerated(live, statement):
    named = read_names(live.names(""))
    told = live.look([(each.id, each.source, each.table) for each in named.relations if each.id == ORDERS])
    choices = with_looked(named, told)
    draft = proposal(ORDERS, sql=statement, name="orders")
    checked = live.check(render(read("synthesis", draft, choices), choices))
    assert not checked["ok"]
    request = Request("regenerate", (), choices, draft, tuple(checked["diagnostics"]))
    return read("regenerate", Rules().complete(request).value, choices)


@pytest.mark.parametrize("name", ["totl", "wholly_other"])
def test_what_is_wrong_with_a_query_is_left_to_the_person(live, name):
    found = regenerated(live, f"SELECT id, {name} FROM orders")
    assert isinstance(found, Refusal)
    assert name in found.reason
