"""The same wishes in many words; and words near to them that mean something else, which must never be passed over."""

import pytest
from tests.unit.chat.rules.held import PARAPHRASES, propose
from tests.unit.chat.rules.test_development import check

from osiris.chat.proposal import Proposal, Question, Refusal
from osiris.chat.rules import vocabulary
from osiris.evaluation.cases import load_cases

CASES = [pytest.param(each, id=each.id) for each in load_cases(PARAPHRASES)]


@pytest.mark.parametrize("case", CASES)
def test_the_same_wish_in_other_words_becomes_the_same_rows(case):
    check(case, propose(case.world, case.request))


@pytest.mark.parametrize("case", CASES[::3])
def test_an_unknown_word_in_the_middle_is_asked_about_or_taken_as_a_value(case):
    words = case.request.split()
    middle = len(words) // 2
    said = " ".join([*words[:middle], "zorgle", *words[middle:]])
    found = propose(case.world, said)
    assert not isinstance(found, Proposal) or "'zorgle'" in (found.sql or "")


@pytest.mark.parametrize(
    ("world", "request_"),
    [
        ("clinic", "net price of the drugs csv"),
        ("clinic", "visits of the billing state csv"),
        ("clinic", "live patients csv"),
        ("clinic", "working doctors csv"),
        ("clinic", "patients that never come from Graz csv"),
        ("clinic", "patients except those who live in Graz csv"),
        ("clinic", "patients who no longer live in Graz csv"),
        ("clinic", "patients who used to live in Graz csv"),
        ("clinic", "patients who live near Graz csv"),
        ("clinic", "almost every drug csv"),
        ("clinic", "not every drug csv"),
        ("clinic", "visits longer than average csv"),
        ("clinic", "visits longer than 5 kilometers csv"),
        ("clinic", "visits from 2023-03-01 csv"),
        ("clinic", "the price of the 5 drugs csv"),
        ("clinic", "amount of supplier invoices csv"),
        ("clinic", "drugs prescribed to patients from Graz csv"),
        ("library", "Japanese authors csv"),
        ("library", "title books csv"),
        ("library", "every book but the history ones csv"),
        ("library", "loans not returned in 2024 csv"),
        ("library", "loans not returned on time csv"),
        ("library", "members except suspended csv"),
        ("library", "members by branch, newest first csv"),
        ("library", "longest books first csv"),
        ("library", "members neither gold nor silver csv"),
        ("phone", "calls over 5 kg csv"),
        ("phone", "masts in wooden build csv"),
        ("phone", "masts with build quality csv"),
        ("phone", "masts in old keeper csv"),
        ("phone", "masts out of work in north csv"),
        ("phone", "masts not working in the north csv"),
        ("phone", "somebody csv"),
        ("library", "number of fines and amount csv"),
        ("clinic", "patients who stay in Graz without status active csv"),
        ("clinic", "patients coming in 2023 csv"),
        ("clinic", "average fee per state, newest first csv"),
        ("clinic", "all but cancelled visits csv"),
        ("clinic", "visits but cancelled ones csv"),
        ("phone", "masts whose keeper matters csv"),
        ("phone", "kinds of calls whose average duration is over 5 minutes csv"),
    ],
)
def test_what_may_change_the_rows_is_asked(world, request_):
    assert isinstance(propose(world, request_), Question | Refusal)


@pytest.mark.parametrize(
    ("world", "request_", "part"),
    [
        ("clinic", "patients living in Graz and active csv", """"Town" = 'Graz' AND "Status" = 'active'"""),
        ("clinic", "active patients not living in Graz or Brno csv", "NOT IN ('Graz', 'Brno')"),
        ("clinic", "drugs with strength over 1 g csv", '"StrengthMg" > 1000'),
        ("library", "newest members first csv", "FROM members ORDER BY joined_on DESC"),
        ("library", "members sorted by tier, newest first csv", "ORDER BY tier, joined_on DESC"),
        ("library", "members that are gold but not suspended csv", "tier = 'gold' AND NOT suspended"),
        ("library", "suspended but gold members csv", "WHERE suspended AND tier = 'gold'"),
        ("phone", "calls of at most 1.5 minutes csv", "duration_s <= 90"),
        ("clinic", "visits of exactly 30 minutes csv", '"DurationS" = 1800'),
        ("clinic", "drugs by price, cheapest first csv", 'ORDER BY "Price", "DrugId"'),
        ("phone", "masts over 0.05 km high csv", "height_m > 50"),
        ("phone", "masts in skyline keeper csv", "lower(keeper) = 'skyline'"),
        ("phone", "masts that do not belong to the north csv", "region <> 'north'"),
    ],
)
def test_what_is_meant_is_in_the_statement(world, request_, part):
    found = propose(world, request_)
    assert isinstance(found, Proposal), found
    assert part in " ".join((found.sql or "").split())


def test_what_is_converted_or_guessed_is_said():
    assert "5 minutes are 300 in duration_s" in propose("phone", "calls over 5 minutes csv").assumptions
    assert "'skyline' is a value of masts.keeper" in propose("phone", "masts in skyline keeper csv").assumptions


def test_no_negation_and_no_number_is_passed_over():
    passed = vocabulary.EMPTY | vocabulary.LINKING | {word for words in vocabulary.PHRASES for word in words}
    changing = {"not", "no", "never", "without", "except", "but", "excluding", "outside", "longer", "half"}
    assert not passed & changing
    assert not passed & (set(vocabulary.NUMBERS) - {"one"})
