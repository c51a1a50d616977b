"""The agent: from a person's words to a pipeline that the person has accepted and that has run. One method per state.

It is a pure function of what its environment returns: it reads no clock, no randomness and no file, so the same
conversation makes the same pipeline. Whatever a model answers passes through `read_request`, grounding, rendering and
the compiler, in that order, before it is used.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from osiris.chat import replies
from osiris.chat.choices import read_names, with_profiles
from osiris.chat.grounding import Mentions, exposed_by_plan, question_for, settings, unnamed, unnamed_relations
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
"""Maximum number of questions that the model asks in one turn; then the chat lists what is still missing."""

MAX_DISCOVERED = 20
"""Relations profiled in one turn."""

_RESERVED_KEYS = (ACCEPT, GROUNDING, REPLACE)
"""Keys of questions that only the agent asks: `--yes` answers the first, `--mode replace` the last."""

LARGEST_DRAFT = 50_000
"""Characters of the largest answer that is sent back to the model."""


class _Quit(Exception):
    """The person ended the conversation."""


@dataclass(slots=True)
class _Draft:
    """The current proposal: its JSON value, request and text, the problems found in it, and the result of the last
    check.
    """

    value: Mapping[str, JsonValue] | None = None
    request: Request | None = None
    text: str = ""
    problems: tuple[Mapping[str, JsonValue], ...] = ()
    checked: Mapping[str, JsonValue] = field(default_factory=dict)
    regenerated: bool = False
    is_edited: bool = False

    @property
    def proposed(self) -> Request | None:
        """Return the request that the text was rendered from; None once the person has edited the text."""
        return None if self.is_edited else self.request


class Agent:
    """One conversation. With `fast` the model asks about nothing that can be assumed."""

    def __init__(self, environment: Journal[Environment], *, fast: bool = False) -> None:
        self._environment = environment
        self._fast = fast
        self._drafts = 0
        self._runs = 0
        self._unfinished: str | None = None  # the plan whose run has failed: run again, it is the same run, resumed
        self._digests: list[str] = []
        self._reset()

    def _reset(self) -> None:
        self._messages: list[Message] = []
        self._choices = read_names({"sources": [], "writers": [], "silent": {}})
        self._discovered: set[str] = set()
        self._silent: set[str] = set()
        self._confirmed: set[str] = set()
        self._refused: set[str] = set()
        self._draft = _Draft()
        self._shown: list[str] = []
        self._questions = 0
        self._is_new = True

    def talk(self) -> None:
        """Run until the person ends the conversation; `Waiting` and errors of the environment propagate."""
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
        self._reset()
        self._start_turn(self._ask_user())
        return "INTENT_CAPTURED"

    def _intent_captured(self) -> State:
        self._environment.emit("discovery_start", tables=[])
        catalog = self._environment.names(self._person_text())
        self._choices = read_names(catalog)
        self._discovered.clear()
        recalled = sum(bool(source["recalled"]) for source in catalog["sources"])
        self._report_discovery(len(self._choices.relations), recalled, catalog["silent"])
        if self._choices.relations:
            return "DISCOVERY"
        self._start_turn(self._say_and_ask(replies.NOTHING_TO_READ))
        return "INTENT_CAPTURED"

    def _discovery(self) -> State:
        reply = self._ask("intent")
        if isinstance(reply, Question):
            return self._ask_back(reply, "DISCOVERY")
        if isinstance(reply, Refusal):
            self._start_turn(self._say_and_ask(reply.reason, refused=True))
            return self._discovery_state()
        self._discover(reply.tables if isinstance(reply, Interest) else ())
        self._is_new = False
        return "OML_SYNTHESIS"

    def _oml_synthesis(self) -> State:
        if self._is_new:
            return self._discovery_state()
        self._draft.regenerated = False
        return self._handle_reply(self._ask("synthesis"))

    def _validate_oml(self) -> State:
        draft, request = self._draft, self._draft.proposed
        if request is not None:
            words = "; ".join(each.text for each in self._messages if each.role == "person" and not each.about)
            try:
                draft.text = render_request(request, self._choices, words)
            except InvalidInput as error:
                draft.problems = tuple(item.to_json() for item in error.diagnostics)
                return self._regenerate_or_ask()
        self._drafts += 1
        self._environment.emit("oml_synthesis_complete", number=self._drafts, oml=draft.text)
        draft.checked = self._environment.check(draft.text)
        diagnostics = draft.checked["diagnostics"]
        self._environment.emit("validation", number=self._drafts, ok=draft.checked["ok"], diagnostics=diagnostics)
        draft.problems = () if draft.checked["ok"] else replies.errors_of(diagnostics)
        if not draft.checked["ok"]:
            return self._regenerate_or_ask()
        if request is None:
            return "COMPILE"
        more = {"deciding": draft.checked.get("deciding", {}), "multiplies": draft.checked.get("multiplies", ())}
        plan = {**draft.checked["plan"], **more}
        return self._grounded(self._find_unnamed(partial(exposed_by_plan, request, self._choices, plan)), "COMPILE")

    def _regenerate_once(self) -> State:
        self._draft.regenerated = True
        return self._handle_reply(self._ask("regenerate"))

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
        if notice := replies.outside(checked["diagnostics"]):
            self._say(notice)
        words = self._ask_user(Question(ACCEPT, replies.accept(checked["short"]), replies.ACCEPTING))
        if replies.meaning(words) == "yes":
            return self._save("RUN")
        if replies.meaning(words) == "save":
            return self._save("COMPLETE")
        if replies.meaning(words) == "no":
            words = self._say_and_ask(replies.NOTHING_DONE)
        return self._revise(words)

    def _run(self) -> State:
        fingerprint = self._draft.checked["fingerprint"]
        if fingerprint != self._unfinished:
            self._runs, self._unfinished = self._runs + 1, fingerprint
        result = self._environment.run(fingerprint, self._runs)
        self._environment.emit("run_result", **result)
        if result["ok"]:
            self._unfinished = None
            return "COMPLETE"
        self._draft.problems = replies.errors_of(result["diagnostics"])
        words = self._say_and_ask(replies.run_failed(result))
        return "RUN" if replies.meaning(words) == "again" else self._revise(words)

    def _complete(self) -> State:
        words = self._ask_user()
        return "INIT" if replies.meaning(words) == "new" else self._revise(words)

    # --- requests ---------------------------------------------------------------------------------------------------

    def _ask(self, purpose: Purpose) -> Reply | None:
        """Return the model's reply; None if it is invalid, with the reasons in `problems`."""
        draft = self._draft
        self._environment.emit("llm_request_start", purpose=purpose)
        messages = tuple(self._messages)
        answer = self._environment.ask_model(
            ModelRequest(purpose, messages, self._choices, draft.value, draft.problems, self._fast)
        )
        self._environment.emit("llm_response_complete", purpose=purpose, model=answer.model, **asdict(answer.usage))
        try:
            parse = read_interest if purpose == "intent" else read_request
            reply = parse(answer.value, self._choices)
        except InvalidInput as error:
            if purpose != "intent":
                is_small = isinstance(answer.value, dict) and len(json.dumps(answer.value)) <= LARGEST_DRAFT
                draft.value = answer.value if is_small else None
                draft.problems = tuple(item.to_json() for item in error.diagnostics)
            return None
        if isinstance(reply, Request):
            reply = self._keep_name(reply)
            draft.value, draft.request = {**answer.value, "name": reply.name}, reply
        return reply

    def _keep_name(self, request: Request) -> Request:
        """Return the request under the name of the plan that was already shown, unless the person named another."""
        previous = self._draft.request if self._shown else None
        is_kept = previous is not None and not Mentions.in_text(self._messages[-1].text).has_exactly(request.name)
        return replace(request, name=previous.name) if previous and is_kept else request

    def _handle_reply(self, reply: Reply | None) -> State:
        """Process a reply that should be a request."""
        if isinstance(reply, Question):
            return self._ask_back(reply, "OML_SYNTHESIS")
        if isinstance(reply, Refusal):
            return self._revise(self._say_and_ask(reply.reason, refused=True))
        if not isinstance(reply, Request):
            return self._regenerate_or_ask()
        self._discover(source.relation for source in reply.sources)
        return self._grounded(self._find_unnamed(partial(unnamed, reply, self._choices)), "VALIDATE_OML")

    def _find_unnamed(self, find: Callable[[Sequence[Message]], list[Unnamed]]) -> list[Unnamed]:
        """Return what the words do not name, plus what the person refused: saying no to a thing names it too."""
        items = find(self._messages)
        return items + [each for each in find(()) if each.words in self._refused and each not in items]

    def _grounded(self, items: Sequence[Unnamed], following: State) -> State:
        """Continue once everything has been named or confirmed by the person."""
        missing = self._unconfirmed(items)
        if not missing:
            return following
        question, pending = question_for(missing)
        words, texts = self._ask_user(question), {each.words for each in pending}
        meaning = None if question.about == MODE else replies.meaning(words)
        if meaning == "no":
            self._refused |= texts
            return self._revise(self._say_and_ask(replies.INSTEAD))
        if meaning == "yes":
            self._confirmed |= texts
            return self._grounded(items, following)
        self._note(question, words)
        output = pending[0].output
        if output and words == output.mode:
            return self._grounded([each for each in items if each.output != output], following)
        return "OML_SYNTHESIS"

    def _unconfirmed(self, items: Sequence[Unnamed]) -> list[Unnamed]:
        return [each for each in items if self._confirmed.isdisjoint((each.words, each.whole))]

    def _regenerate_or_ask(self) -> State:
        """Handle problems of the draft: first regenerate once, then ask the person."""
        if not self._draft.regenerated:
            return "REGENERATE_ONCE"
        return self._revise(self._say_and_ask(replies.remaining_errors(self._draft.problems)))

    def _revise(self, words: str) -> State:
        """Process words about the draft: edit it, start a new pipeline, or change it."""
        if replies.meaning(words) == "new":
            return "INIT"
        draft = self._draft
        if replies.meaning(words) == "edit" and draft.text:
            self._draft = replace(draft, text=self._environment.edit(draft.text), is_edited=True, regenerated=True)
            return "VALIDATE_OML"
        if draft.is_edited:
            draft.is_edited = False
            self._say(replies.EDITS_END)
        self._start_turn(words)
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

    def _say_and_ask(self, text: str, **more: JsonValue) -> str:
        """Say something and return the person's next words. Raises _Quit."""
        self._say(text, **more)
        return self._ask_user()

    def _person_text(self) -> str:
        """Return everything the person has said."""
        return "\n".join(each.text for each in self._messages if each.role == "person")

    def _start_turn(self, words: str) -> None:
        """Start a turn with words of the person."""
        self._messages.append(Message("person", words))
        self._questions = 0
        self._is_new = True

    def _ask_back(self, question: Question, following: State) -> State:
        """Ask the person the model's question; once the limit is reached, say what is still missing instead."""
        if question.about in _RESERVED_KEYS:
            question = replace(question, about="question")
        if self._questions < QUESTIONS:
            self._questions += 1
            self._note(question, self._ask_user(question))
            return following
        self._start_turn(self._say_and_ask(replies.still_missing(question.text)))
        return following

    def _note(self, question: Question, words: str) -> None:
        self._messages.append(Message("agent", question.text, question.about))
        self._messages.append(Message("person", words, question.about))

    def _say(self, text: str, **more: JsonValue) -> None:
        self._environment.emit("assistant_response", text=text, **more)

    def _discover(self, names: Iterable[str]) -> None:
        """Discover relations that were not yet profiled in this conversation."""
        relations = [each for name in names if name not in self._discovered and (each := self._choices.relation(name))]
        relations = relations[:MAX_DISCOVERED]
        if not relations:
            return
        self._environment.emit("discovery_start", tables=[each.id for each in relations])
        unnamed_ids = [each.id for each in unnamed_relations(relations, self._choices, self._messages)]
        answer = self._environment.look([(each.id, each.source, each.table) for each in relations], unnamed_ids)
        self._choices = with_profiles(self._choices, answer)
        self._discovered |= {each.id for each in relations}
        self._report_discovery(len(answer["tables"]), answer["recalled"], answer["silent"])

    def _report_discovery(self, tables: int, recalled: int, silent: Mapping[str, JsonValue]) -> None:
        self._environment.emit("discovery_done", tables=tables, recalled=recalled, silent=silent)
        new = {name: diagnostic for name, diagnostic in silent.items() if name not in self._silent}
        self._silent |= new.keys()
        if new:
            self._say(replies.silent(new, self._person_text()))

    def _discovery_state(self) -> State:
        """Return the discovery state for the newest words: they may name a file that is not among the choices yet."""
        return "INTENT_CAPTURED" if replies.has_path(self._messages[-1].text) else "DISCOVERY"

    def _save(self, following: State) -> State:
        """Save the accepted pipeline; continue if its plan is still the accepted one."""
        draft = self._draft
        saved = self._environment.save(draft.text, draft.checked["name"], tuple(self._digests))
        self._digests.append(saved["digest"])
        self._environment.emit("saved", **saved)
        if saved["fingerprint"] == draft.checked["fingerprint"]:
            return following
        words = self._say_and_ask(replies.PLAN_CHANGED)
        return "VALIDATE_OML" if replies.meaning(words) == "again" else self._revise(words)
