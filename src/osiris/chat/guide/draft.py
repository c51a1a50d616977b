"""The guide's working state: a growing request, the effects a flow asks for, and the matching of typed text.

A flow (`flow.pipeline`) is a generator: it yields questions and requests for figures, and is sent the results; it has
no other effects. A `Draft` knows which part goes into which step, and which columns are available where.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from osiris.chat.choices import one_line, read_names
from osiris.chat.expressions import kind_of, unused
from osiris.chat.request import Output, Request, Source, Step
from osiris.errors import OsirisError, certain

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from osiris.chat.choices import Choices, Column, Relation
    from osiris.chat.expressions import Kind
    from osiris.model import JsonValue

    Fields = dict[str, str | None]
    """Columns at a point of a request, with their types; None for what no step can read."""


UNNAMED = "unnamed"
EMPTY = Request(name=UNNAMED, sources=(), steps=(), outputs=())
STEP = "result"
_PLACEHOLDER_PATH = "output/looked_at.parquet"

_STAGE = {
    "joins": 0,
    "compute": 1,
    "filters": 1,
    **dict.fromkeys(("group", "pick", "pivot"), 2),
    "columns": 3,
    "sort": 4,
    "limit": 5,
}
"""Order of the parts of a step: a part earlier than an existing one needs another step."""


@dataclass(slots=True)
class Draft:
    """The request so far, and what is known of its sources; `tables` are those of `Look`, by relation id.

    `find_writers` returns the writers as `names` of `environment` lists them; called only once something is read.
    """

    request: Request
    find_writers: Callable[[], JsonValue]
    tables: dict[str, tuple[str, Mapping[str, JsonValue]]]

    @property
    def choices(self) -> Choices:
        """Return the discovered relations as choices; step names are unique among them."""
        sources = [
            {"target": source, "connection": source if source.startswith("@") else None, "tables": [table]}
            for source, table in self.tables.values()
        ]
        return read_names({"sources": sources, "writers": self.find_writers(), "silent": {}})

    def relation(self, name: str) -> Relation:
        """Return a discovered relation."""
        return next(each for each in self.choices.relations if each.id == name)

    def last(self) -> str:
        """Return the name of what is written: the last step, or the only source."""
        steps, source = self.request.steps, self.request.sources[0]
        return steps[-1].name if steps else source.name or self.relation(source.relation).name

    def read(self, relation: str) -> None:
        """Add a relation to the sources, unless it is one."""
        if all(each.relation != relation for each in self.request.sources):
            self.request = replace(self.request, sources=(*self.request.sources, Source(relation)))

    def step_for(self, part: str) -> Step:
        """Return the step for a part: the last one, or a new one if that already has a later part."""
        steps = self.request.steps
        if steps and not _is_past(steps[-1], part):
            return steps[-1]
        taken = [*(each.name for each in self.request.steps), *(each.name for each in self.choices.relations)]
        return Step(unused(STEP, taken), input=self.last())

    def put(self, step: Step) -> None:
        """Replace the last step, or add a new one."""
        self.request = self.with_step(step)

    def with_step(self, step: Step) -> Request:
        """Return the request with a step replaced or added."""
        others = tuple(each for each in self.request.steps if each.name != step.name)
        return replace(self.request, steps=(*others, step))

    def fields(self, step: Step, point: str) -> Fields:
        """Return the columns available at a point of a step, with their types."""
        cut = replace(step, columns=(), sort=(), limit=None)
        if point == "input":
            cut = replace(cut, filters=(), group=(), measures=(), pick=None, pivot=None)
        elif point == "sort":
            cut = replace(cut, columns=step.columns)
        is_whole = cut == Step(cut.name, input=cut.input)
        name = str(cut.input) if is_whole else cut.name
        return self._fields(self.request if is_whole else self.with_step(cut), name)

    def result(self) -> Fields:
        """Return the columns of what is written, with their types."""
        return self._fields(self.request, self.last())

    def _fields(self, request: Request, name: str) -> Fields:
        from osiris.chat.render import fields_of

        return {each.name: each.type for each in fields_of(request, self.choices, name)}

    def problem(self) -> str | None:
        """Return why the request is invalid; None if it is valid."""
        try:
            as_text(self.request, self.choices)
        except OsirisError as error:
            return error.diagnostics[0].message
        return None

    def reading(self, relation: str) -> tuple[Source, ...]:
        """Return the existing or a new source for a relation."""
        sources = tuple(each for each in self.request.sources if each.relation == relation)
        return sources or (Source(relation),)

    def column(self, name: str) -> Column | None:
        """Return the column of a name, from the first source that has one."""
        plain = name.rpartition(".")[2]
        for source in self.request.sources:
            for column in self.relation(source.relation).columns or ():
                if column.name in (name, plain):
                    return column
        return None


def as_text(request: Request, choices: Choices) -> str:
    """Return the OML of a request; one without an output gets a placeholder output."""
    from osiris.chat.render import render_request

    return render_request(with_output(request, choices), choices)


def with_output(request: Request, choices: Choices) -> Request:
    """Return the request; one without an output gets one that is never written."""
    if request.outputs:
        return request
    relations = {each.id: each.name for each in choices.relations}
    last = request.steps[-1].name if request.steps else relations[request.sources[0].relation]
    return replace(request, outputs=(Output(last, "filesystem.parquet_writer", path=_PLACEHOLDER_PATH),))


def _is_past(step: Step, part: str) -> bool:
    """Tell whether a step already has a part that comes after this one, or instead of it."""
    if step.sql is not None:
        return True
    stage = _STAGE[part]
    filled = [_STAGE[name] for name in _STAGE if getattr(step, name) not in ((), None)]
    grouped = stage == _STAGE["group"] and stage in filled
    return grouped or any(each > stage for each in filled)


def plain(parts: Iterable[str]) -> str:
    """Return a name made of words: lower case letters, digits and underscores."""
    joined = re.sub(r"[^a-z0-9]+", "_", "_".join(parts).lower()).strip("_")[:60].rstrip("_")
    return joined if joined[:1].isalpha() else f"pipeline_{joined}".rstrip("_")


def default_name(draft: Draft) -> str:
    """Return a default pipeline name: from what it reads and groups by."""
    request = draft.request
    groups = [each.name or each.column for step in request.steps for each in step.group]
    orders = [step.pick.order[0] for step in request.steps if step.pick]
    picks = ["latest" if orders[-1].descending else "first"] if orders else []
    base = draft.relation(request.sources[0].relation).name
    return plain([*picks, base, *(["by", *groups] if groups else [])])


_TYPED: dict[Kind, Typed] = {
    "number": "number",
    "date": "date",
    "timestamp": "timestamp",
    "time": "time",
    "bool": "truth",
    "uuid": "uuid",
}


def typed_as(type_: str | None) -> Typed:
    """Return what may be typed for a value of a type."""
    name = type_ or "utf8"
    if name.startswith(("int", "uint")):
        return "whole number"
    if name.startswith("timestamp") and "," in name:
        return "timestamp with zone"
    return _TYPED.get(value_kind(type_), "text")


def value_kind(type_: str | None) -> Kind:
    """Return the kind of values of a type; an unknown type counts as text."""
    return kind_of(type_ or "utf8")


def columns_of(draft: Draft, fields: Fields, kinds: tuple[Kind, ...] = ()) -> tuple[Option, ...]:
    """Return an option for each column, of some kinds or all; its note has the type and some values."""
    return tuple(
        Option(name, name, _note(draft, name, type_))
        for name, type_ in fields.items()
        if not kinds or value_kind(type_) in kinds
    )


def _note(draft: Draft, name: str, type_: str | None) -> str:
    column = draft.column(name)
    profile = column.profile if column else {}
    values = [str(each["value"]) for each in profile.get("values", ())[:3]]
    bounds = [str(profile[end]) for end in ("min", "max") if profile.get(end) is not None]
    text = ", ".join(values) if values else " … ".join(bounds)
    return remark(type_ or "", text)


def remark(*parts: str) -> str:
    """Return the note of an option, without empty parts."""
    return ", ".join(filter(None, parts))


def known_texts(column: Column | None) -> list[str]:
    """Return the known values of a column: frequent ones, the minimum and the maximum."""
    profile = column.profile if column else {}
    values = [str(each["value"]) for each in profile.get("values", ())]
    return [text for text in (*values, *(str(profile.get(end) or "") for end in ("min", "max"))) if text.strip()]


Typed = Literal[
    "text",
    "name",
    "whole number",
    "number",
    "count",
    "decimal places",
    "date",
    "timestamp",
    "timestamp with zone",
    "time",
    "truth",
    "uuid",
    "path",
    "table",
    "flags",
]
"""Kinds of text that may be typed instead of choosing."""
RELATIONS = "relations"
"""Marks a question whose options come from discovery while it is shown."""


@dataclass(frozen=True, slots=True)
class Option:
    """A choice: the recorded key, the label that is shown and matched with typed text, and a note."""

    key: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for the person; gives an `Answer`.

    With `several` any number of options may be chosen; `typed` is what may be typed instead; `default` are the keys
    used when it is skipped, None if it cannot be. `source` is RELATIONS if the options are discovered tables and files,
    or `tables:@family.alias` for those of one connection. `head` are lines above it, and `endings` the suffixes of
    paths that may be typed.
    """

    about: str
    text: str
    options: tuple[Option, ...] = ()
    several: bool = False
    typed: Typed | None = None
    default: tuple[str, ...] | None = None
    source: str | None = None
    head: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen keys, or the typed text."""

    keys: tuple[str, ...] = ()
    text: str | None = None

    def recorded(self) -> str:
        """Return it as recorded, in JSON."""
        return json.dumps({"keys": list(self.keys), "text": self.text}, ensure_ascii=False)

    @classmethod
    def of(cls, value: JsonValue) -> Answer:
        """Return a recorded answer, parsed from JSON."""
        return cls(tuple(value["keys"]), value["text"])


@dataclass(frozen=True, slots=True)
class Look:
    """Discovery of a relation: columns, keys and frequent values; gives its TABLE (see `environment`), or a diagnostic
    as JSON.
    """

    relation: str
    source: str
    table: str


@dataclass(frozen=True, slots=True)
class Compare:
    """Figures: the only row of the last step of a request, as a list; gives None if unavailable."""

    request: Request
    about: str


@dataclass(frozen=True, slots=True)
class Propose:
    """The plan of a request, which is shown; gives the result of `check` of `environment`, and `confirm`.

    `confirm` has a sentence for each thing that must be confirmed separately.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Show:
    """A message to show; gives None. With `rejects` it says why the last answer had no effect."""

    text: str
    rejects: bool = False


Effect: TypeAlias = Ask | Look | Compare | Propose | Show
"""Effects that a flow can yield."""

if TYPE_CHECKING:
    T = TypeVar("T")
    Flow: TypeAlias = Generator[Effect, JsonValue, T]


@dataclass(frozen=True, slots=True)
class Matches:
    """The options that text selects; if none, the `candidates` it may mean, and the problem in words.

    `near` is the only option that contains the whole text: the person may mean it.
    """

    options: tuple[Option, ...] = ()
    candidates: tuple[Option, ...] = ()
    problem: str = ""
    near: Option | None = None

    def __bool__(self) -> bool:
        return bool(self.options or self.candidates)


def match_options(text: str, options: Sequence[Option], *, several: bool, display: Callable[[str], str]) -> Matches:
    """Return the options that text selects: one, or with `several` any number, separated by commas (numbers: spaces).

    Options count from 1. `display` returns how a label looks on the terminal, which may be typed as well.
    """
    exact, parts = _exact(text, options, display), _parts(text)
    if exact or not several or len(parts) == 1:
        return exact or _near(text, options)
    return _match_each({part: _exact(part, options, display) or _near(part, options) for part in parts}, parts)


def _match_each(matches: Mapping[str, Matches], parts: Sequence[str]) -> Matches:
    """Return the options of several parts of a text, unless one is unclear, or two select the same."""
    unclear = next((each for each in matches.values() if not each.options), None)
    if unclear is not None:
        return replace(unclear, near=None)
    chosen = [matches[part].options[0] for part in parts]
    doubled = next((n for n, each in enumerate(chosen) if each in chosen[:n]), None)
    if doubled is None:
        return Matches(tuple(chosen))
    label = chosen[doubled].label
    return Matches(candidates=(chosen[doubled],), problem=f"'{parts[doubled]}' is '{label}', chosen twice")


def _parts(text: str) -> list[str]:
    """Split at commas; whole numbers also at spaces."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    is_numbers = len(parts) == 1 and all(word.isdecimal() for word in text.split())
    return text.split() if is_numbers else parts


def _exact(text: str, options: Sequence[Option], display: Callable[[str], str]) -> Matches:
    rules: tuple[Callable[[str], bool], ...] = (
        lambda label: label == text,
        lambda label: display(label) == text,
        lambda label: is_same(label, text),
    )
    for rule in rules:
        matches = tuple(each for each in options if rule(each.label))
        if matches:
            return Matches(matches) if len(matches) == 1 else _unclear(text, matches)
    numbered = {str(number): option for number, option in enumerate(options, 1)}
    option = numbered.get(text.removeprefix("#"))
    return Matches((option,)) if option else Matches()


_QUOTED = 40
_EXPLAINED = re.compile(r"(yes|no), .*", re.DOTALL)


def is_same(label: str, text: str) -> bool:
    """Tell whether a text is a label but for case, dots at its end (more is asked) and words after a yes or no."""
    one, two = (each.casefold().rstrip(" .…") for each in (label, text))
    return two != "" and two in (one, _EXPLAINED.sub(r"\1", one))


def _near(text: str, options: Sequence[Option]) -> Matches:
    """Return the only option within a typo of the text; else those that contain all of its words."""
    near = certain(text, [each.label for each in options])
    matches = tuple(each for each in options if each.label == near)
    return Matches(matches) if len(matches) == 1 else _unclear(text, narrowed(text, options))


def _unclear(text: str, candidates: Sequence[Option]) -> Matches:
    """Return the options that a text may mean: none, one or several."""
    quoted = f"'{one_line(text, _QUOTED)}'"
    if not candidates:
        return Matches(problem=f"there is no choice {quoted}")
    if len(candidates) == 1:
        (near,) = candidates
        return Matches((), (near,), f"{quoted} may mean '{near.label}'", near)
    return Matches(candidates=tuple(candidates), problem=f"{quoted} may mean one of these")


_SYNONYMS = {
    "aggregate": "group",
    "avg": "average",
    "count": "number of",
    "distinct": "different",
    "filter": "keep",
    "mean": "average",
    "order": "sort",
    "select": "choose",
    "total": "sum",
    "where": "keep",
}
"""Words of SQL, and those of the guide."""


def narrowed(text: str, options: Sequence[Option]) -> list[Option]:
    """Return the options that contain all typed words, or what SQL calls them, in any order and case."""
    words = [(word, _SYNONYMS.get(word, word)) for word in text.casefold().split()]
    labels = [(each, each.label.casefold()) for each in options if words]
    return [each for each, label in labels if all(word in label or other in label for word, other in words)]
