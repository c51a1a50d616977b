"""A flow and what it was given so far: so that one can go back, and go on where a conversation was broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.chat.guide.flow import pipeline
from osiris.chat.guide.questions import Ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.chat.guide.draft import Draft
    from osiris.chat.guide.flow import Agreed
    from osiris.chat.guide.questions import Effect, Flow
    from osiris.model import JsonValue


class Machine:
    """The flow of a new draft. `effect` is what it waits for, `agreed` its end, `given` what it was given so far.

    To go back the flow is begun anew and given again all but what came last: it is a function of that.
    """

    draft: Draft
    effect: Effect
    agreed: Agreed | None
    _flow: Flow[Agreed]

    def __init__(self, begin: Callable[[], Draft]) -> None:
        self._begin = begin
        self.given: list[tuple[Effect, JsonValue]] = []
        self._restart()

    def give(self, value: JsonValue) -> None:
        """Give the flow what it waits for."""
        self.given.append((self.effect, value))
        self._send(value)

    def back(self, kind: type[Effect] = Ask) -> bool:
        """Go back to the last question that was answered, or to another kind of effect; tell whether there was one."""
        places = [n for n, (effect, _) in enumerate(self.given) if isinstance(effect, kind)]
        if not places:
            return False
        self.given = self.given[: places[-1]]
        self._restart()
        return True

    def _restart(self) -> None:
        self.agreed = None
        self.draft = self._begin()
        self._flow = pipeline(self.draft)
        self.effect = next(self._flow)
        for _, value in self.given:
            self._send(value)

    def _send(self, value: JsonValue) -> None:
        try:
            self.effect = self._flow.send(value)
        except StopIteration as end:
            self.agreed = end.value
