import random
import threading

import pytest
from tests.patience import SOON

from osiris.runner.worker.steps import Agenda, run_all


def random_waits(chance, size):
    return [set(chance.sample(range(n), min(n, chance.choice([0, 0, 1, 2])))) for n in range(size)]


@pytest.mark.parametrize("width", [1, 2, 5])
def test_each_is_done_once_and_after_what_it_waits_for(width):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(30):
        waits = random_waits(chance, chance.randrange(40))
        lock, done, at_once, most = threading.Lock(), [], set(), [0]

        def act(number, share, waits=waits, lock=lock, done=done, at_once=at_once, most=most):
            with lock:
                assert waits[number] <= set(done)
                at_once.add(number)
                most[0] = max(most[0], len(at_once))
                assert len(at_once) <= share <= width
            with lock:
                at_once.remove(number)
                done.append(number)
            return True

        assert run_all(Agenda(waits), width, act)
        assert sorted(done) == list(range(len(waits)))
        assert most[0] <= width


def test_one_at_a_time_begins_in_order_in_the_calling_thread():
    begun = []

    def act(number, share):
        begun.append((number, share, threading.current_thread()))
        return True

    assert run_all(Agenda([set(), set(), {0}, {1}, {0, 3}]), 1, act)
    here = threading.current_thread()
    assert begun == [(0, 1, here), (1, 1, here), (2, 1, here), (3, 1, here), (4, 1, here)]


def test_what_begins_alone_does_so_in_the_calling_thread_with_all_there_is():
    begun = {}

    def act(number, share):
        begun[number] = (share, threading.current_thread())
        return True

    assert run_all(Agenda([set(), {0}, {0}, {1, 2}]), 8, act)
    here = threading.current_thread()
    assert [begun[0], begun[3]] == [(1, here), (1, here)]
    assert begun[1][0] == 3
    assert here not in (begun[1][1], begun[2][1])


def test_those_that_may_begin_do_so_at_once():
    barrier = threading.Barrier(4, timeout=SOON)

    def act(_number, share):
        barrier.wait()
        return share == 4

    assert run_all(Agenda([set()] * 4), 4, act)


@pytest.mark.parametrize("width", [1, 3])
def test_after_the_first_failure_nothing_begins(width):
    begun = []

    def act(number, _share):
        begun.append(number)
        return number != 1

    assert not run_all(Agenda([set(), {0}, {1}, {1}, {2}]), width, act)
    assert begun == [0, 1]


def test_what_is_raised_comes_out_when_all_have_ended():
    ended, raising = [], threading.Event()

    def act(number, _share):
        if number:
            raising.set()
            raise ValueError(number)
        raising.wait(SOON)
        threading.Event().wait(0.1)
        ended.append(number)
        return True

    with pytest.raises(ValueError, match="1"):
        run_all(Agenda([set(), set()]), 2, act)
    assert ended == [0]


def test_ten_thousand_take_a_moment():
    done = []
    assert run_all(Agenda([set()] + [{n} for n in range(9_999)]), 1, lambda n, _share: not done.append(n))
    assert done == list(range(10_000))
