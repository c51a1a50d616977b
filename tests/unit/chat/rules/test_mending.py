"""What the compiler can mend without a choice is mended once; all else is for the person."""

import os

import pytest
from tests.unit.chat.talking import make_project, proposal

from osiris.api import open_project
from osiris.chat.found import read_names, with_looked
from osiris.chat.live import LiveWorld
from osiris.chat.oml import render
from osiris.chat.port import Request
from osiris.chat.proposal import Proposal, Refusal, read
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
    return read("regenerate", Rules().complete(request).value, choices), choices


def test_a_fix_of_the_compiler_is_taken(live):
    found, choices = regenerated(live, "SELECT id, totl FROM orders")
    assert isinstance(found, Proposal)
    assert found.sql == "SELECT id, total FROM orders"
    assert any("totl" in each for each in found.assumptions)
    assert live.check(render(found, choices))["ok"]


def test_what_has_no_fix_is_left_to_the_person(live):
    found, _ = regenerated(live, "SELECT id, wholly_other FROM orders")
    assert isinstance(found, Refusal)
    assert "wholly_other" in found.reason
