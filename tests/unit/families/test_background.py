"""Work in the background: in order, one at a time, and no failure is lost."""

import threading

import pytest
from tests.patience import SOON, wait_until

from osiris.families.files.target_files import Background


def fail(number):
    raise ValueError(number)


def test_calls_are_made_in_order_in_another_thread():
    made = []
    with Background() as behind:
        for number in range(100):
            behind.run(lambda n: made.append((n, threading.current_thread().name)), number)
    assert [number for number, _ in made] == list(range(100))
    assert {name for _, name in made} == {"behind_0"}


def test_the_caller_goes_on_while_the_last_call_runs():
    may_end, ended = threading.Event(), []
    with Background() as behind:
        behind.run(lambda: ended.append(may_end.wait(SOON)))
        assert not ended
        may_end.set()
    assert ended == [True]


def test_a_failure_comes_out_of_the_next_call():
    made = []

    def both():
        with Background() as behind:
            behind.run(fail, 7)
            behind.run(made.append, "after a failure")

    with pytest.raises(ValueError, match="7"):
        both()
    assert made == []


def test_calls_that_wait_behind_a_failure_are_not_made():
    may_fail, made = threading.Event(), []

    def first():
        may_fail.wait(SOON)
        raise ValueError(7)

    def both():
        with Background(depth=3) as behind:
            behind.run(first)
            behind.run(made.append, "after a failure")
            behind.run(made.append, "after a failure")
            may_fail.set()

    with pytest.raises(ValueError, match="7"):
        both()
    assert made == []


def test_no_more_calls_wait_than_may():
    may_end, begun = threading.Event(), []

    def gather():
        with Background(depth=2) as behind:
            for number in range(3):
                behind.run(may_end.wait, SOON)
                begun.append(number)

    caller = threading.Thread(target=gather)
    caller.start()
    wait_until(lambda: len(begun) == 2)
    caller.join(0.3)
    assert begun == [0, 1]
    may_end.set()
    caller.join(SOON)
    assert begun == [0, 1, 2]


def test_a_failure_of_the_last_call_comes_out_of_the_end():
    with pytest.raises(ValueError, match="7"), Background() as behind:
        behind.run(fail, 7)


def test_a_failure_of_the_caller_comes_first():
    def both():
        with Background() as behind:
            behind.run(fail, 7)
            raise KeyError

    with pytest.raises(KeyError):
        both()
