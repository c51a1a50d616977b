"""A conversation with the guide: each answer is in the journal before the flow gets it.

The flow is a function of what it was given, so one can go back, and go on where a conversation was broken off.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING

from osiris.canonical import sha256_hex
from osiris.chat.guide.draft import EMPTY, Draft, as_text
from osiris.chat.guide.flow import pipeline
from osiris.chat.guide.questions import Answer, Ask, Compare, Look, Propose, Show
from osiris.chat.provider_api import ACCEPT
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.chat.guide.environment import GuideEnvironment
    from osiris.chat.guide.flow import Agreed
    from osiris.chat.guide.questions import Effect, Flow
    from osiris.chat.journal import Journal
    from osiris.model import JsonValue

BACK = "back"
QUIT = "quit"

_CHANGED = "A source has changed meanwhile, so the plan is another one; nothing was run."
"""What is said when the plan that was agreed to cannot be made any more."""


class Guide:
    """One conversation: gives the flow what it asks for, from the journal first."""

    _machine: Machine
    _start: JsonValue

    def __init__(self, journal: Journal[GuideEnvironment]) -> None:
        self._journal = journal
        self._state = "INIT"
        self._drafts = 0
        self._plan: dict[str, JsonValue] = {}
        self._is_shown = False

    def talk(self) -> None:
        """Talk until the person agrees to a plan, or ends it; raises `Waiting` if there is nobody."""
        writers = cache(lambda: self._journal.result("writers", [], lambda live, _: live.writers()))
        self._start = self._journal.result("start", [], lambda live, _: live.start())
        machine = self._machine = Machine(lambda: _draft(writers, self._start))
        while machine.agreed is None:
            effect = machine.effect
            if isinstance(effect, Ask):
                words = self._heard(effect)
                if words == QUIT:
                    return
                if words == BACK:
                    if not machine.back():
                        self._say("This is the first question.")
                    continue
                machine.give(json.loads(words))
            else:
                machine.give(self._given(effect))
        self._finish()

    def _heard(self, ask: Ask) -> str:
        machine = self._machine
        self._journal.emit("assistant_response", text=ask.text, about=ask.about, choices=[o.label for o in ask.options])
        if ask.about == ACCEPT and self._journal.environment and not self._is_shown:
            self._journal.environment.emit("plan", **self._plan)
        words: str = self._journal.result("hear", [ask.about], lambda live, _: live.choose(ask, machine.draft))
        self._journal.emit("user_message", text=_spoken(ask, words), about=ask.about)
        if self._state == "INIT":
            self._go("INTENT_CAPTURED")
        return words

    def _given(self, effect: Look | Compare | Propose | Show) -> JsonValue:
        if isinstance(effect, Show):
            return self._say(effect.text)
        if isinstance(effect, Look):
            return self._looked(effect)
        if isinstance(effect, Compare):
            choices = self._machine.draft.choices
            return self._journal.result(
                "measure", [effect.about], lambda live, _: live.measure(effect.request, choices)
            )
        return self._checked(effect)

    def _looked(self, look: Look) -> JsonValue:
        self._go("DISCOVERY")
        self._journal.emit("discovery_start", tables=[look.relation])
        asked = [look.relation, look.source, look.table]
        found = self._journal.result("look", asked, lambda live, _: live.look_at(look))
        self._journal.emit("discovery_done", tables=int("table" in found), recalled=0, silent={})
        return found

    def _checked(self, check: Propose) -> JsonValue:
        from osiris.chat.guide.flag_line import command_line

        draft = self._machine.draft
        self._go("OML_SYNTHESIS")
        try:
            text = as_text(check.request, draft.choices)
        except OsirisError as error:
            return self._unfit([each.to_json() for each in error.diagnostics])
        self._drafts += 1
        self._journal.emit("oml_synthesis_complete", number=self._drafts, oml=text)
        self._go("VALIDATE_OML")
        checked = self._journal.result("check", [text], lambda live, _: live.plan(text, check.request))
        problems = checked["diagnostics"]
        self._journal.emit("validation", number=self._drafts, ok=checked["ok"], diagnostics=problems)
        if checked["ok"]:
            self._go("COMPILE")
            command = command_line(check.request, draft.choices)
            told = {"check": checked, "command": command and " ".join([command, *checked["flags"]])}
            self._plan = {"number": self._drafts, **told, "tables": [], "assumptions": []}
            self._is_shown = self._journal.environment is not None
            self._journal.emit("plan", **self._plan)
            return checked
        return self._unfit(problems, checked)

    def _unfit(self, problems: JsonValue, checked: JsonValue = None) -> JsonValue:
        """Say why there is no plan; gives what compiling said, if it came to that."""
        errors = [f"  {each['message']}" for each in problems if each["severity"] == "error"]
        self._say("\n".join(["This does not work yet:", *errors]))
        return checked or {"ok": False, "diagnostics": problems}

    def _finish(self) -> None:
        """Save what was agreed to, and run it if that is wanted."""
        agreed, draft = self._machine.agreed, self._machine.draft
        if agreed is None:
            return
        start = self._start or {"name": draft.request.name, "oml": ""}
        before = sha256_hex(start["oml"].encode())
        saved = self._journal.save(str(agreed.check["oml"]), start["name"], [before])
        self._journal.emit("saved", **saved)
        if saved["fingerprint"] != agreed.check["fingerprint"]:
            self._say(_CHANGED)
        elif agreed.action == "run":
            self._go("RUN")
            result = self._journal.run(saved["fingerprint"], 1)
            self._journal.emit("run_result", **result)
        self._go("COMPLETE")

    def _say(self, text: str) -> None:
        if self._journal.environment:
            self._journal.environment.say(text)

    def _go(self, state: str) -> None:
        if state != self._state:
            self._journal.emit("state_transition", from_state=self._state, to_state=state)
            self._state = state


def _draft(writers: Callable[[], JsonValue], start: JsonValue) -> Draft:
    """Return what a conversation begins with: nothing, or a pipeline that is edited."""
    if not start:
        return Draft(EMPTY, writers, {})
    from osiris.chat.parse_request import parse_request

    draft = Draft(EMPTY, writers, {name: (told[0], told[1]) for name, told in start["tables"].items()})
    draft.request = parse_request(start["oml"], draft.choices) or EMPTY
    return draft


def _spoken(ask: Ask, words: str) -> str:
    """Return an answer in words, for the record."""
    if words in (BACK, QUIT):
        return words
    answer = Answer.of(json.loads(words))
    labels = {each.key: each.label for each in ask.options}
    return answer.text if answer.text is not None else ", ".join(labels.get(key, key) for key in answer.keys)


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
        given = Answer.of(value) if isinstance(self.effect, Ask) else value
        try:
            self.effect = self._flow.send(given)
        except StopIteration as end:
            self.agreed = end.value
