"""The agent: from words to a pipeline that a person has accepted and that ran. One method per state.

It is a function of what its environment returns: it knows no clock, no chance and no file, so that the same
conversation makes the same pipeline. What a model says goes through `read_request`, grounding, rendering and the
compiler, in that order; nothing of it goes out in another way.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from osiris.chat import replies
from osiris.chat.choices import read_names, with_looked
from osiris.chat.grounding import Mentions, exposed, not_named, question_for, settings, unnamed
from osiris.chat.provider_api import (
    ACCEPT,
    GROUNDING,
    MODE,
    REPLACE,
    Interest,
    Message,
    ModelRequest,
    Question,
    Refusal,
)
from osiris.chat.render import render_request
from osiris.chat.request import Request
from osiris.chat.request_json import read_interest, read_request
from osiris.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from osiris.chat.environment import Environment
    from osiris.chat.grounding import Unnamed
    from osiris.chat.journal import Journal
    from osiris.chat.provider_api import Purpose
    from osiris.model import JsonValue

    Reply = Interest | Request | Question | Refusal

State = Literal[
    "INIT",
    "INTENT_CAPTURED",
    "DISCOVERY",
    "OML_SYNTHESIS",
    "VALIDATE_OML",
    "REGENERATE_ONCE",
    "COMPILE",
    "RUN",
    "COMPLETE",
]

QUESTIONS = 3
"""Questions of whoever proposes in one turn; then the person is told what is missing."""

MOST_LOOKED_AT = 20
"""Relations whose rows are looked at in one turn."""

_OURS = (ACCEPT, GROUNDING, REPLACE)
"""Keys of questions that only the agent puts: `--yes` answers the first, `--mode replace` the last."""

LARGEST_DRAFT = 50_000
"""Characters of the largest answer that is shown again."""


class _Quit(Exception):
    """The person ends the conversation."""


@dataclass(slots=True)
class _Draft:
    """What is proposed in this conversation: as a value and as a text, what was wrong with it, what checking said."""

    value: Mapping[str, JsonValue] | None = None
    request: Request | None = None
    text: str = ""
    problems: tuple[Mapping[str, JsonValue], ...] = ()
    checked: Mapping[str, JsonValue] = field(default_factory=dict)
    regenerated: bool = False
    is_edited: bool = False

    @property
    def proposed(self) -> Request | None:
        """Return the request that the text is made of; None if the person has edited the text."""
        return None if self.is_edited else self.request


class Agent:
    """One conversation. With `fast` the model asks nothing that can be assumed."""

    def __init__(self, environment: Journal[Environment], *, fast: bool = False) -> None:
        self._environment = environment
        self._fast = fast
        self._drafts = 0
        self._runs = 0
        self._digests: list[str] = []
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._messages: list[Message] = []
        self._choices = read_names({"sources": [], "writers": [], "silent": {}})
        self._looked: set[str] = set()
        self._silent: set[str] = set()
        self._confirmed: set[str] = set()
        self._refused: set[str] = set()
        self._draft = _Draft()
        self._shown: list[str] = []
        self._questions = 0
        self._is_new = True

    def talk(self) -> None:
        """Talk until the person ends it; `Waiting`, and what the environment fails with, come out as they are."""
        state: State = "INIT"
        try:
            while True:
                following: State = getattr(self, f"_{state.lower()}")()
                self._environment.emit("state_transition", from_state=state, to_state=following)
                state = following
        except _Quit:
            return

    # --- the states -------------------------------------------------------------------------------------------------

    def _init(self) -> State:
        self._begin_anew()
        self._take(self._ask_user())
        return "INTENT_CAPTURED"

    def _intent_captured(self) -> State:
        self._environment.emit("discovery_start", tables=[])
        told = self._environment.names(self._spoken())
        self._choices = read_names(told)
        self._looked.clear()
        recalled = sum(bool(source["recalled"]) for source in told["sources"])
        self._tell_found(len(self._choices.relations), recalled, told["silent"])
        if self._choices.relations:
            return "DISCOVERY"
        self._take(self._answer_to(replies.NOTHING_TO_READ))
        return "INTENT_CAPTURED"

    def _discovery(self) -> State:
        said = self._ask("intent")
        if isinstance(said, Question):
            return self._put(said, "DISCOVERY")
        if isinstance(said, Refusal):
            self._take(self._answer_to(said.reason, refused=True))
            return self._discovering()
        self._look(said.tables if isinstance(said, Interest) else ())
        self._is_new = False
        return "OML_SYNTHESIS"

    def _oml_synthesis(self) -> State:
        if self._is_new:
            return self._discovering()
        self._draft.regenerated = False
        return self._proposed(self._ask("synthesis"))

    def _validate_oml(self) -> State:
        draft, request = self._draft, self._draft.proposed
        if request is not None:
            words = "; ".join(each.text for each in self._messages if each.role == "person" and not each.about)
            try:
                draft.text = render_request(request, self._choices, words)
            except InvalidInput as error:
                draft.problems = tuple(item.to_json() for item in error.diagnostics)
                return self._mend()
        self._drafts += 1
        self._environment.emit("oml_synthesis_complete", number=self._drafts, oml=draft.text)
        draft.checked = self._environment.check(draft.text)
        found = draft.checked["diagnostics"]
        self._environment.emit("validation", number=self._drafts, ok=draft.checked["ok"], diagnostics=found)
        draft.problems = () if draft.checked["ok"] else replies.errors_of(found)
        if not draft.checked["ok"]:
            return self._mend()
        if request is None:
            return "COMPILE"
        more = {"deciding": draft.checked.get("deciding", {}), "multiplies": draft.checked.get("multiplies", ())}
        shown = {**draft.checked["plan"], **more}
        return self._grounded(self._unnamed(partial(exposed, request, self._choices, shown)), "COMPILE")

    def _regenerate_once(self) -> State:
        self._draft.regenerated = True
        return self._proposed(self._ask("regenerate"))

    def _compile(self) -> State:
        draft = self._draft
        request, checked = draft.proposed, draft.checked
        tables = list(dict.fromkeys(source.relation for source in request.sources)) if request else []
        assumed = [*request.assumptions, *settings(request, self._choices)] if request else []
        lines = replies.read_back(checked)
        changes = replies.changes(self._shown, lines) if self._shown else []
        self._shown = lines
        more = {"tables": tables, "assumptions": assumed, "changes": changes}
        self._environment.emit("plan", number=self._drafts, check=checked, **more)
        if outside := replies.outside(checked["diagnostics"]):
            self._say(outside)
        words = self._ask_user(Question(ACCEPT, replies.accept(checked["short"]), replies.ACCEPTING))
        if replies.meaning(words) == "yes":
            return self._saved("RUN")
        if replies.meaning(words) == "save":
            return self._saved("COMPLETE")
        if replies.meaning(words) == "no":
            words = self._answer_to(replies.NOTHING_DONE)
        return self._mended(words)

    def _run(self) -> State:
        self._runs += 1
        result = self._environment.run(self._draft.checked["fingerprint"], self._runs)
        self._environment.emit("run_result", **result)
        if result["ok"]:
            return "COMPLETE"
        self._draft.problems = replies.errors_of(result["diagnostics"])
        words = self._answer_to(replies.run_failed(result))
        return "RUN" if replies.meaning(words) == "again" else self._mended(words)

    def _complete(self) -> State:
        words = self._ask_user()
        return "INIT" if replies.meaning(words) == "new" else self._mended(words)

    # --- requests ---------------------------------------------------------------------------------------------------

    def _ask(self, purpose: Purpose) -> Reply | None:
        """Return what the model says; None if that is nothing that was asked for, and then `problems` has why."""
        draft = self._draft
        self._environment.emit("llm_request_start", purpose=purpose)
        messages = tuple(self._messages)
        answer = self._environment.ask_model(
            ModelRequest(purpose, messages, self._choices, draft.value, draft.problems, self._fast)
        )
        self._environment.emit("llm_response_complete", purpose=purpose, model=answer.model, **asdict(answer.usage))
        try:
            read = read_interest if purpose == "intent" else read_request
            said = read(answer.value, self._choices)
        except InvalidInput as error:
            if purpose != "intent":
                is_small = isinstance(answer.value, dict) and len(json.dumps(answer.value)) <= LARGEST_DRAFT
                draft.value = answer.value if is_small else None
                draft.problems = tuple(item.to_json() for item in error.diagnostics)
            return None
        if isinstance(said, Request):
            said = self._with_its_name(said)
            draft.value, draft.request = {**answer.value, "name": said.name}, said
        return said

    def _with_its_name(self, request: Request) -> Request:
        """Return a request that keeps the name of the plan that was shown before, unless the person named another."""
        before = self._draft.request if self._shown else None
        is_kept = before is not None and not Mentions.in_text(self._messages[-1].text).has_exactly(request.name)
        return replace(request, name=before.name) if before and is_kept else request

    def _proposed(self, said: Reply | None) -> State:
        """Go on with an answer that was to be a request."""
        if isinstance(said, Question):
            return self._put(said, "OML_SYNTHESIS")
        if isinstance(said, Refusal):
            return self._mended(self._answer_to(said.reason, refused=True))
        if not isinstance(said, Request):
            return self._mend()
        self._look(source.relation for source in said.sources)
        return self._grounded(self._unnamed(partial(unnamed, said, self._choices)), "VALIDATE_OML")

    def _unnamed(self, find: Callable[[Sequence[Message]], list[Unnamed]]) -> list[Unnamed]:
        """Return what the words do not name, and what the person refused: to say no to a thing again names it too."""
        found = find(self._messages)
        return found + [each for each in find(()) if each.words in self._refused and each not in found]

    def _grounded(self, found: Sequence[Unnamed], following: State) -> State:
        """Go on once nothing is left that the person has not named or confirmed."""
        missing = self._unconfirmed(found)
        if not missing:
            return following
        question, asked = question_for(missing)
        words, things = self._ask_user(question), {each.words for each in asked}
        meaning = None if question.about == MODE else replies.meaning(words)
        if meaning == "no":
            self._refused |= things
            return self._mended(self._answer_to(replies.INSTEAD))
        if meaning == "yes":
            self._confirmed |= things
            return self._grounded(found, following)
        self._note(question, words)
        output = asked[0].output
        if output and words == output.mode:
            return self._grounded([each for each in found if each.output != output], following)
        return "OML_SYNTHESIS"

    def _unconfirmed(self, found: Sequence[Unnamed]) -> list[Unnamed]:
        return [each for each in found if self._confirmed.isdisjoint((each.words, each.whole))]

    def _mend(self) -> State:
        """Go on with what is wrong: once with the model, then with the person."""
        if not self._draft.regenerated:
            return "REGENERATE_ONCE"
        return self._mended(self._answer_to(replies.errors_left(self._draft.problems)))

    def _mended(self, words: str) -> State:
        """Go on with words about the draft: to edit it, to begin anew, or to change it."""
        if replies.meaning(words) == "new":
            return "INIT"
        draft = self._draft
        if replies.meaning(words) == "edit" and draft.text:
            self._draft = replace(draft, text=self._environment.edit(draft.text), is_edited=True, regenerated=True)
            return "VALIDATE_OML"
        if draft.is_edited:
            draft.is_edited = False
            self._say(replies.EDITS_END)
        self._take(words)
        return "OML_SYNTHESIS"

    # --- the environment --------------------------------------------------------------------------------------------

    def _ask_user(self, question: Question | None = None) -> str:
        """Return the person's next words; a choice may be given by its number. Raises _Quit."""
        if question:
            self._say(question.text, about=question.about, choices=list(question.choices))
        choices, about = (question.choices, question.about) if question else ((), None)
        words = ""
        while not words:
            words = replies.chosen(self._environment.ask_user(question).strip(), choices)
        self._environment.emit("user_message", text=words, about=about)
        if replies.meaning(words) == "quit":
            raise _Quit
        return words

    def _answer_to(self, text: str, **more: JsonValue) -> str:
        """Say something and return the person's next words. Raises _Quit."""
        self._say(text, **more)
        return self._ask_user()

    def _spoken(self) -> str:
        """Return all that the person said."""
        return "\n".join(each.text for each in self._messages if each.role == "person")

    def _take(self, words: str) -> None:
        """Begin a turn with words of the person."""
        self._messages.append(Message("person", words))
        self._questions = 0
        self._is_new = True

    def _put(self, question: Question, following: State) -> State:
        """Put a question to the person, unless there were enough of them: then tell what is missing."""
        if question.about in _OURS:
            question = replace(question, about="question")
        if self._questions < QUESTIONS:
            self._questions += 1
            self._note(question, self._ask_user(question))
            return following
        self._take(self._answer_to(replies.still_missing(question.text)))
        return following

    def _note(self, question: Question, words: str) -> None:
        self._messages.append(Message("agent", question.text, question.about))
        self._messages.append(Message("person", words, question.about))

    def _say(self, text: str, **more: JsonValue) -> None:
        self._environment.emit("assistant_response", text=text, **more)

    def _look(self, names: Iterable[str]) -> None:
        """Look at relations at which nobody has looked yet in this conversation."""
        wanted = [each for name in names if name not in self._looked and (each := self._choices.relation(name))]
        wanted = wanted[:MOST_LOOKED_AT]
        if not wanted:
            return
        self._environment.emit("discovery_start", tables=[each.id for each in wanted])
        others = [each.id for each in not_named(wanted, self._choices, self._messages)]
        told = self._environment.look([(each.id, each.source, each.table) for each in wanted], others)
        self._choices = with_looked(self._choices, told)
        self._looked |= {each.id for each in wanted}
        self._tell_found(len(told["tables"]), told["recalled"], told["silent"])

    def _tell_found(self, tables: int, recalled: int, silent: Mapping[str, JsonValue]) -> None:
        self._environment.emit("discovery_done", tables=tables, recalled=recalled, silent=silent)
        new = {name: found for name, found in silent.items() if name not in self._silent}
        self._silent |= new.keys()
        if new:
            self._say(replies.silent(new, self._spoken()))

    def _discovering(self) -> State:
        """Return the state that finds what the newest words are about; they may name a file that nobody looked for."""
        return "INTENT_CAPTURED" if replies.has_path(self._messages[-1].text) else "DISCOVERY"

    def _saved(self, following: State) -> State:
        """Save the pipeline that was accepted, and go on if its plan is still the one that was."""
        draft = self._draft
        saved = self._environment.save(draft.text, draft.checked["name"], tuple(self._digests))
        self._digests.append(saved["digest"])
        self._environment.emit("saved", **saved)
        if saved["fingerprint"] == draft.checked["fingerprint"]:
            return following
        words = self._answer_to(replies.PLAN_CHANGED)
        return "VALIDATE_OML" if replies.meaning(words) == "again" else self._mended(words)
