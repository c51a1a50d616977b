"""The guide: a flow of questions that ends with a complete request and what to do with it.

Each answer is recorded before the flow gets it. The flow is a function of its answers, so one can go back, and resume
an interrupted conversation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, cast

from osiris.canonical import sha256_hex
from osiris.chat.expressions import unused
from osiris.chat.guide import parts, sources
from osiris.chat.guide.draft import (
    EMPTY,
    RELATIONS,
    UNNAMED,
    Answer,
    Ask,
    Compare,
    Draft,
    Look,
    Option,
    Propose,
    Show,
    as_text,
    columns_of,
    default_name,
    plain,
)
from osiris.chat.provider_api import ACCEPT
from osiris.chat.request import Output
from osiris.errors import OsirisError, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from osiris.chat.choices import Writer
    from osiris.chat.guide.draft import Effect, Flow
    from osiris.chat.guide.environment import GuideEnvironment
    from osiris.chat.journal import Journal
    from osiris.chat.request import Filter, Join, Measure, Mode, Request, Sort, Step
    from osiris.model import JsonValue


READ = "read"
"""Key of the first question."""

MENU = "next"

_PARTS: dict[str, tuple[str, str, Callable[[Draft], Flow[None]]]] = {
    "filters": ("Keep some rows", "or --where status = paid", parts.filters),
    "joins": ("Join another table", "by a key", sources.join),
    "compute": ("Compute a column", "or --compute total = price * qty", parts.compute),
    "group": ("Group and measure", "or --group region --sum total as sales --count", parts.group),
    "pivot": ("Columns from values", "one column per status", parts.pivot),
    "distinct": ("Each different row once", "repeated rows are left out", parts.distinct),
    "pick": ("One row per group", "the latest, the largest …; or --latest day per customer", parts.pick),
    "picks": ("First N rows per group", "or --top 3 amount per customer", parts.picks),
    "columns": ("Choose columns", "or --columns region, sales as total", parts.columns),
    "sort": ("Sort", "or --sort sales desc", parts.sort),
    "limit": ("Sort, first N rows", "or --sort sales desc --limit 10", parts.limit),
}

_MODES = {
    "append": ("append", "rows are added to those that are there"),
    "replace": ("replace", "all rows that are there go"),
    "upsert": ("upsert", "rows with the same key are updated, others are added"),
}

_NAME_TAKEN = "CMP007"

_FILE = "file|"
"""How keys of kinds of files begin."""

_CONFIRM = (Option("no", "no, choose another target"), Option("yes", "yes"))


@dataclass(frozen=True, slots=True)
class Agreed:
    """The end: the plan with this fingerprint is saved, and run if requested."""

    check: JsonValue
    action: Literal["run", "save"]


def pipeline(draft: Draft) -> Flow[Agreed]:
    """Ask until the person agrees to a plan; a draft with sources is edited."""
    if not draft.request.sources:
        yield from sources.first(draft, Ask(READ, "What do you want to read?", source=RELATIONS))
    while True:
        answer = yield from _menu(draft)
        previous = draft.request
        is_done = yield from _add(draft, answer)
        if problem := draft.problem():
            draft.request = previous
            yield Show(f"This does not work, and is left out: {problem}", rejects=True)
        if problem or not is_done:
            continue
        agreed = yield from _finish_request(draft)
        if agreed:
            return agreed


def _add(draft: Draft, answer: Answer) -> Flow[bool]:
    """Carry out an answer of the menu; tell whether the result is to be written."""
    if answer.text is not None:
        from osiris.chat.guide.flag_line import add_line

        return (yield from add_line(draft, answer.text))
    (key,) = answer.keys
    if key in _PARTS:
        yield from _PARTS[key][2](draft)
    elif key.startswith(_FILE):
        name = _name(draft)
        draft.request = replace(draft.request, name=name, outputs=(_file_output(draft, key, name),))
        return True
    elif key != "write":
        yield from parts.computed_by(key, draft)
    return key == "write"


def _menu(draft: Draft) -> Flow[Answer]:
    write = Option("write", "Write the result", "to a file or a table; or --to output/sales.parquet")
    files = _file_targets(draft, _name(draft), "Write a {} file")
    others = tuple(Option(key, label, note) for key, (label, note, _) in _PARTS.items())
    options = (write, *files, *others, *parts.functions(draft))
    answer: Answer = yield Ask(MENU, "What next?", options, typed="flags", head=summary(draft.request))
    return answer


def _finish_request(draft: Draft) -> Flow[Agreed | None]:
    """Ask for the target, show the plan and ask for agreement; None to change something."""
    name = _name(draft)
    while True:
        if not draft.request.outputs:
            output = yield from _target(draft, name)
            draft.request = replace(draft.request, name=name, outputs=(output,))
        outputs = (replace(draft.request.outputs[0], input=draft.last()),)
        draft.request = replace(draft.request, outputs=outputs)
        agreed = yield from _accepted(draft)
        if agreed is None:
            return None
        if isinstance(agreed, Agreed):
            return agreed
        if agreed == "name":
            previous, name = name, (yield from _ask_name(name))
            draft.request = _renamed(draft.request, previous, name)
        if agreed == "target":
            draft.request = replace(draft.request, outputs=())


def _accepted(draft: Draft) -> Flow[Agreed | str | None]:
    check = yield Propose(draft.request)
    is_taken = any(each["code"] == _NAME_TAKEN for each in check["diagnostics"])
    if is_taken or not check["ok"]:
        errors = [f"  {each['message']}" for each in check["diagnostics"] if each["severity"] == "error"]
        yield Show("\n".join(["This does not work yet:", *errors]), rejects=not is_taken)
    if is_taken:
        return "name"
    if not check["ok"]:
        draft.request = replace(draft.request, outputs=())
        return None
    options = (
        Option("run", "Yes, save it and run it"),
        Option("save", "Save it, do not run it"),
        Option("oml", "Show the OML"),
        Option("change", "Change something"),
        Option("name", "Another name"),
        Option("target", "Another target"),
    )
    question = Ask("accept", f"Plan {check['short']}: save and run it?", options)
    while (key := (yield question).keys[0]) == "oml":
        yield Show(check["oml"])
    if key == "change":
        return None
    if key not in ("run", "save"):
        return str(key)
    for sentence in check["confirm"]:
        if (yield Ask("confirm", f"{sentence} Is that meant?", _CONFIRM)).keys[0] == "no":
            return "target"
    return Agreed(check, cast("Literal['run', 'save']", key))


def _ask_name(before: str) -> Flow[str]:
    suggested = unused(before, [before])
    option = Option(suggested, suggested)
    answer = yield Ask("name", "Name of the pipeline?", (option,), typed="name")
    return plain([answer.text]) if answer.text else suggested


def _renamed(request: Request, before: str, name: str) -> Request:
    """Return a request with another name; a file named after the pipeline is renamed with it."""
    (output,) = request.outputs
    path = PurePosixPath(output.path) if output.path else None
    if path and path.stem == before:
        output = replace(output, path=str(path.with_stem(name)))
    return replace(request, name=name, outputs=(output,))


def _name(draft: Draft) -> str:
    return default_name(draft) if draft.request.name == UNNAMED else draft.request.name


def _target(draft: Draft, name: str) -> Flow[Output]:
    writers = draft.choices.writers
    files = {each.component: each for each in writers if each.makes_files}
    endings = tuple(f".{each.ending}" for each in files.values())
    options = (*_file_targets(draft, name, "{} file"), *_table_targets(writers))
    answer = yield Ask("target", "Where does it go?", options, typed="path", endings=endings)
    if answer.text is not None:
        component = next(name for name, each in files.items() if answer.text.endswith(f".{each.ending}"))
        return Output(draft.last(), component, path=answer.text)
    if answer.keys[0].startswith(_FILE):
        return _file_output(draft, answer.keys[0], name)
    _, component, reference = answer.keys[0].split("|", 2)
    writer = next(each for each in writers if each.component == component)
    return (yield from _table(draft, writer, reference))


def _file_targets(draft: Draft, name: str, label: str) -> Iterator[Option]:
    """Yield an option for each kind of file; `label` has a place for the kind."""
    files = [each for each in draft.choices.writers if each.makes_files]
    for each in sorted(files, key=lambda each: each.ending != "parquet"):
        kind = "Parquet" if each.ending == "parquet" else str(each.ending).upper()
        yield Option(f"{_FILE}{each.component}|{each.ending}", label.format(kind), f"output/{name}.{each.ending}")


def _file_output(draft: Draft, key: str, name: str) -> Output:
    _, component, ending = key.split("|")
    return Output(draft.last(), component, path=f"output/{name}.{ending}")


def _table_targets(writers: Iterable[Writer]) -> Iterator[Option]:
    for each in writers:
        yield from (Option(f"table|{each.component}|{ref}", f"table of {ref}") for ref in each.connections)


def _table(draft: Draft, writer: Writer, reference: str) -> Flow[Output]:
    answer = yield Ask("table", f"Which table of {reference}?", typed="table", source=f"tables:{reference}")
    table = answer.text or answer.keys[0]
    options = tuple(Option(mode, *_MODES[mode]) for mode in writer.modes)
    mode = (yield Ask("mode", f"What should happen to the existing rows of {table}?", options)).keys[0]
    key: tuple[str, ...] = ()
    if mode == "upsert":
        columns = columns_of(draft, draft.result())
        key = (yield Ask("primary key", "Which columns identify a row?", columns, several=True)).keys
    return Output(draft.last(), writer.component, reference, table=table, mode=cast("Mode", mode), key=key)


def summary(request: Request) -> tuple[str, ...]:
    """Return a line for each part of a request."""
    read = f"read {', '.join(each.relation for each in request.sources)}"
    return (read, *(line for step in request.steps for line in _lines(step)))


def _lines(step: Step) -> Iterator[str]:
    if step.sql is not None:
        yield f"SQL of step {step.name}"
    yield from (f"join {_join(each)}" for each in step.joins)
    for new in step.compute:
        yield f"compute {new.name}: {new.function} of {_listed(filter(None, (new.column, new.other, new.value)))}"
    yield from (f"keep {filter_words(each)}" for each in step.filters)
    if step.group or step.measures:
        groups = _listed(f"{each.unit} of {each.column}" if each.unit else each.column for each in step.group)
        yield f"group by {groups}" if groups else "one row for everything"
    yield from _result_lines(step)


def _result_lines(step: Step) -> Iterator[str]:
    if step.measures:
        yield f"measure {_listed(map(measure_words, step.measures))}"
    if step.pick:
        yield f"first {step.pick.rows:,} of each {_listed(step.pick.per)} by {_listed(map(_sort, step.pick.order))}"
    if step.pivot:
        yield f"pivot by {step.pivot.column}"
    if step.columns:
        yield f"columns {_listed(each.label for each in step.columns)}"
    if step.sort:
        yield f"sort by {_listed(map(_sort, step.sort))}"
    if step.limit is not None:
        yield f"first {step.limit:,} rows"


def _join(join: Join) -> str:
    keys = " and ".join(f"{each.left} = {each.right}" for each in join.on)
    return f"{join.input} by {keys}, rows without a match are {'kept' if join.unmatched == 'keep' else 'dropped'}"


def filter_words(condition: Filter) -> str:
    """Return a condition in words."""
    right = condition.other or _listed(condition.values) or (condition.parameter or "")
    return f"{condition.column} {condition.operator} {right}".rstrip()


def measure_words(measure: Measure) -> str:
    """Return a measure in words."""
    if measure.function == "count":
        return "number of rows"
    of = measure.column or " / ".join(filter(None, (measure.of, measure.over)))
    return f"{measure.function.replace('count distinct', 'number of different')} of {of}"


def _sort(sort: Sort) -> str:
    return f"{sort.column}{' descending' if sort.descending else ''}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


BACK = "back"
QUIT = "quit"


class Guide:
    """One conversation: runs the flow, with recorded results first."""

    _machine: Machine
    _start: JsonValue

    def __init__(self, journal: Journal[GuideEnvironment]) -> None:
        self._journal = journal
        self._state = "INIT"
        self._drafts = 0
        self._plan: dict[str, JsonValue] = {}
        self._is_shown = False

    def talk(self) -> None:
        """Run until the person agrees to a plan or quits; raises `Waiting` if input has ended."""
        writers = cache(self._journal.writers)
        self._start = self._journal.start()
        machine = self._machine = Machine(lambda: _draft(writers, self._start))
        while machine.agreed is None:
            effect = machine.effect
            if isinstance(effect, Ask):
                words = self._hear(effect)
                if words == QUIT:
                    return
                if words == BACK:
                    if not machine.back():
                        self._say(Show("This is the first question."))
                    continue
                machine.give(json.loads(words))
            else:
                machine.give(self._result_of(effect))
        self._finish()

    def _hear(self, ask: Ask) -> str:
        machine = self._machine
        self._journal.emit("assistant_response", text=ask.text, about=ask.about, choices=[o.label for o in ask.options])
        if ask.about == ACCEPT and self._journal.environment and not self._is_shown:
            self._journal.environment.emit("plan", **self._plan)
        words: str = self._journal.result("hear", [ask.about], lambda live, _: live.choose(ask, machine.draft))
        self._journal.emit("user_message", text=_spoken(ask, words), about=ask.about)
        if self._state == "INIT":
            self._go("INTENT_CAPTURED")
        return words

    def _result_of(self, effect: Look | Compare | Propose | Show) -> JsonValue:
        if isinstance(effect, Show):
            return self._say(effect)
        if isinstance(effect, Look):
            return self._look_up(effect)
        if isinstance(effect, Compare):
            choices = self._machine.draft.choices
            return self._journal.result(
                "measure", [effect.about], lambda live, _: live.measure(effect.request, choices)
            )
        return self._check(effect)

    def _look_up(self, look: Look) -> JsonValue:
        self._go("DISCOVERY")
        self._journal.emit("discovery_start", tables=[look.relation])
        arguments = [look.relation, look.source, look.table]
        answer = self._journal.result("look", arguments, lambda live, _: live.look_at(look))
        self._journal.emit("discovery_done", tables=int("table" in answer), recalled=0, silent={})
        return answer

    def _check(self, check: Propose) -> JsonValue:
        from osiris.chat.guide.flag_line import command_line

        draft = self._machine.draft
        self._go("OML_SYNTHESIS")
        try:
            text = as_text(check.request, draft.choices)
        except OsirisError as error:
            return {"ok": False, "diagnostics": [each.to_json() for each in error.diagnostics]}
        self._drafts += 1
        self._journal.emit("oml_synthesis_complete", number=self._drafts, oml=text)
        self._go("VALIDATE_OML")
        checked = self._journal.result("check", [text], lambda live, _: live.plan(text, check.request))
        problems = checked["diagnostics"]
        self._journal.emit("validation", number=self._drafts, ok=checked["ok"], diagnostics=problems)
        if checked["ok"]:
            self._go("COMPILE")
            command = command_line(check.request, draft.choices)
            fields = {"check": checked, "command": command and " ".join([command, *checked["flags"]])}
            self._plan = {"number": self._drafts, **fields, "tables": [], "assumptions": []}
            self._is_shown = self._journal.environment is not None
            self._journal.emit("plan", **self._plan)
        return checked

    def _finish(self) -> None:
        """Save the accepted plan, and run it if requested; fails with CHT046 if it is another one by now."""
        agreed, draft = self._machine.agreed, self._machine.draft
        if agreed is None:
            return
        start = self._start or {"name": draft.request.name, "oml": ""}
        digest = sha256_hex(start["oml"].encode())
        saved = self._journal.save(str(agreed.check["oml"]), start["name"], [digest])
        self._journal.emit("saved", **saved)
        is_as_accepted = saved["fingerprint"] == agreed.check["fingerprint"]
        if is_as_accepted and agreed.action == "run":
            self._go("RUN")
            result = self._journal.run(saved["fingerprint"], 1)
            self._journal.emit("run_result", **result)
        self._go("COMPLETE")
        if not is_as_accepted:
            fail("CHT046", file=saved["file"])

    def _say(self, message: Show) -> None:
        environment = self._journal.environment
        if environment:
            (environment.refuse if message.rejects else environment.say)(message.text)

    def _go(self, state: str) -> None:
        if state != self._state:
            self._journal.emit("state_transition", from_state=self._state, to_state=state)
            self._state = state


def _draft(writers: Callable[[], JsonValue], start: JsonValue) -> Draft:
    """Return the initial draft: empty, or the edited pipeline."""
    if not start:
        return Draft(EMPTY, writers, {})
    from osiris.chat.parse_request import parse_request

    draft = Draft(EMPTY, writers, {name: (entry[0], entry[1]) for name, entry in start["tables"].items()})
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
    """The flow of a new draft. `effect` is what it waits for, `agreed` its end, `history` its effects and results so
    far.

    To go back, the flow is restarted with all results but the last: it depends on nothing else.
    """

    draft: Draft
    effect: Effect
    agreed: Agreed | None
    _flow: Flow[Agreed]

    def __init__(self, begin: Callable[[], Draft]) -> None:
        self._begin = begin
        self.history: list[tuple[Effect, JsonValue]] = []
        self._restart()

    def give(self, value: JsonValue) -> None:
        """Send the result of the current effect."""
        self.history.append((self.effect, value))
        self._send(value)

    def back(self) -> bool:
        """Go back to the last answered question; tell whether there was one."""
        places = [n for n, (effect, _) in enumerate(self.history) if isinstance(effect, Ask)]
        if not places:
            return False
        self.history = self.history[: places[-1]]
        self._restart()
        return True

    def _restart(self) -> None:
        self.agreed = None
        self.draft = self._begin()
        self._flow = pipeline(self.draft)
        self.effect = next(self._flow)
        for _, value in self.history:
            self._send(value)

    def _send(self, value: JsonValue) -> None:
        answer = Answer.of(value) if isinstance(self.effect, Ask) else value
        try:
            self.effect = self._flow.send(answer)
        except StopIteration as end:
            self.agreed = end.value
