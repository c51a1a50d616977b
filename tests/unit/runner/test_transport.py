"""A remote environment is renewed while the host waits."""

import threading

import pytest
from tests.patience import SOON

from osiris.runner.transport import Cut, renewing


class Place:
    """An environment that counts its renewals, and then always breaks."""

    def __init__(self):
        self.renewals = threading.Semaphore(0)

    def renew(self):
        self.renewals.release()
        raise Cut("not now")


def test_a_place_is_renewed_also_where_that_fails_once_and_no_longer_than_asked():
    place = Place()
    with renewing(place, every=0.001):
        assert all(place.renewals.acquire(timeout=SOON) for _ in range(3))
        ours = [thread for thread in threading.enumerate() if thread.name == "renew"]
        assert len(ours) == 1
    ours[0].join(SOON)
    assert not ours[0].is_alive()


def test_it_ends_with_what_it_was_for():
    with pytest.raises(ValueError, match="stop"), renewing(Place(), every=0.001):
        raise ValueError("stop")
    assert [thread for thread in threading.enumerate() if thread.name == "renew" and thread.join(SOON)] == []
