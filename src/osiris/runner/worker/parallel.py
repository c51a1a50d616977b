"""Does things that wait for each other, several at once: each as soon as all that it waits for are done."""

from __future__ import annotations

import heapq
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence


class Agenda:
    """What may begin: numbers from 0, of which number n waits for those in `waits[n]`; the least is the next."""

    def __init__(self, waits: Sequence[Collection[int]]) -> None:
        self.left = len(waits)
        self._missing = [len(needed) for needed in waits]
        self._followers: dict[int, list[int]] = defaultdict(list)
        for number, needed in enumerate(waits):
            for other in needed:
                self._followers[other].append(number)
        self._ready = [number for number, missing in enumerate(self._missing) if not missing]

    def __len__(self) -> int:
        return len(self._ready)

    def take(self) -> int:
        """Return what begins next."""
        return heapq.heappop(self._ready)

    def done(self, number: int) -> None:
        """Note that one is done, so that those that waited for it may begin."""
        self.left -= 1
        for follower in self._followers.pop(number, ()):
            self._missing[follower] -= 1
            if not self._missing[follower]:
                heapq.heappush(self._ready, follower)


def run_all(agenda: Agenda, width: int, act: Callable[[int, int], bool]) -> bool:
    """Call `act(number, share)` for all, at most `width` at once; returns False if one did, after which none begins.

    `share` is how many may be under way at once while this one is: what they share may be divided by it. What begins
    alone does so in the calling thread, which can be interrupted by signals.
    """
    going_on = True
    under_way: dict[Future[bool], int] = {}
    with ThreadPoolExecutor(width, thread_name_prefix="group") as pool:
        while under_way or (going_on and agenda):
            if not under_way and 1 in (width, len(agenda)):
                number = agenda.take()
                going_on = act(number, 1)
                agenda.done(number)
                continue
            while going_on and agenda and len(under_way) < width:
                share = min(width, agenda.left)
                number = agenda.take()
                under_way[pool.submit(act, number, share)] = number
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                agenda.done(under_way.pop(future))
                going_on = future.result() and going_on
    return going_on
