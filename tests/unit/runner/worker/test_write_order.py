"""The order of groups by the foreign keys among their targets."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from osiris.runner.worker.steps import Agenda
from osiris.runner.worker.write_order import Key, order_by_keys


def keys(*pairs, check="statement"):
    return [Key(child, parent, check) for child, parent in pairs]


def test_without_foreign_keys_nothing_waits_but_for_what_it_needs():
    needs = [set(), {0}, set(), {0, 2}]
    order = order_by_keys(needs, [], {0, 1, 2})
    assert (order.needs, order.waits, order.apart, order.cycles) == (needs, needs, [], {})


def test_a_child_waits_for_its_parent_and_a_parents_deletes_for_its_child():
    order = order_by_keys([set()] * 3, keys((0, 1), (1, 2)), {0, 1, 2})
    assert order.apart == [1, 2]  # they have the numbers 3 and 4
    assert order.waits == [{1}, {2}, set(), {1, 0}, {2, 1, 3}]
    assert order.needs == [set(), set(), set(), {1}, {2}]


def test_a_parent_that_deletes_no_row_has_no_deletes():
    order = order_by_keys([set()] * 2, keys((0, 1)), {0})
    assert (order.waits, order.apart) == ([{1}, set()], [])


def test_what_needs_a_group_waits_for_its_deletes():
    order = order_by_keys([set(), set(), {1}], keys((0, 1)), {1})
    assert order.waits == [{1}, set(), {1, 3}, {1, 0}]
    assert order.needs == [set(), set(), {1, 3}, {1}]


def test_a_table_that_refers_to_itself_waits_for_nothing():
    for check, cycles in (("never", {}), ("statement", {}), ("row", {0: keys((0, 0), check="row")})):
        order = order_by_keys([set()], keys((0, 0), check=check), {0})
        assert (order.waits, order.apart, order.cycles) == ([set()], [], cycles)


def test_tables_in_a_cycle_are_refused_unless_nothing_is_checked():
    found = keys((0, 1), (1, 2), (2, 0), (3, 0), (3, 3))
    order = order_by_keys([set()] * 4, found, ())
    assert order.cycles == dict.fromkeys((0, 1, 2), found[:3])
    assert order.waits == [set(), set(), set(), {0}]
    assert not order_by_keys([set()] * 4, [key._replace(check="never") for key in found], ()).cycles


@given(st.integers(0, 1 << 32))
def test_every_order_ends_and_has_parents_before_children(seed):
    chance = random.Random(seed)
    count = chance.randint(1, 8)
    found = keys(*{(chance.randrange(count), chance.randrange(count)) for _ in range(chance.randint(0, 12))})
    order = order_by_keys([set()] * count, found, {number for number in range(count) if chance.random() < 0.5})
    agenda, done = Agenda(order.waits), []
    while agenda:
        done.append(agenda.take())
        agenda.done(done[-1])
    assert sorted(done) == list(range(count + len(order.apart)))
    place = {number: position for position, number in enumerate(done)}
    deletes = {group: count + position for position, group in enumerate(order.apart)}
    for child, parent, *_ in found:
        if child not in order.cycles and child != parent:
            assert place[parent] < place[child]
            rows_and_deletes = [child, deletes.get(child), deletes.get(parent)]
            for first, second in pairwise(place[each] for each in rows_and_deletes if each is not None):
                assert first < second
