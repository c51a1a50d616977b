"""What of a request the person has not named: it is asked before anything goes on.

Names, comments and values of sources are texts of somebody else, and a model that read them may do what they say. So a
relation that is read, and where rows go and how, must stand in words of the person: by name or alias, family, path,
ending, or a word for the mode. What was offered as a choice, and chosen, is the person's word as well. A target outside
the project, and data that would be replaced, are asked about by themselves, named or not.

A relation to which keys lead from one that is named need not be named itself, if of its columns only keys, and those
that are named, come out: `orders by country` names a column of the customers.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from osiris.chat.choices import plain_name
from osiris.chat.provider_api import GROUNDING, MODE, REPLACE, Question
from osiris.chat.render import path_of, source_name
from osiris.chat.request import MODES
from osiris.family_spec import find_family

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from osiris.chat.choices import Choices, ForeignKey, Relation
    from osiris.chat.provider_api import Message
    from osiris.chat.request import Output, Request, Source
    from osiris.model import JsonValue

_GENERIC = ("nam", "id", "cod", "titl", "label", "kei", "no", "nr", "number")
"""Stems of what names of columns say beside what they are about."""

_TO = re.compile(r"(?:\b(?:in)?to\b|\bonto\b|->|→)((?:\s+\S+){1,6})", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|of)\b", re.IGNORECASE)
_TABLE = re.compile(r"\btable\s+(?:named\s+|called\s+)?[\"'`]?([\w.]+)", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|never|no|without|don't|dont|instead of|rather than)\s+(?:to\s+)?\w+", re.IGNORECASE)
_SHORT = 3
"""A stem is not shorter than this: `bus` is no plural."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """The words as a text, and as stems, several where a word is a name of several: `order_items`."""

    text: str
    names: frozenset[tuple[str, ...]]
    exact: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Mentions:
        """Return the words of the person among some messages."""
        return cls.in_text(
            "\n".join(m.text for m in messages if m.role == "person" and m.about not in (GROUNDING, REPLACE))
        )

    @classmethod
    def in_text(cls, text: str) -> Mentions:
        """Return a text as words of the person."""
        words = re.findall(r"\w+", text)
        return cls(text, frozenset(map(stems, words)), frozenset(map(_parts, words)))

    def after_to(self) -> Mentions:
        """Return the few words behind each `to`, as far as no `from` or `of` comes between."""
        return self.in_text("\n".join(_FROM.split(each)[0] for each in _TO.findall(self.text)))

    def affirmed(self) -> Mentions:
        """Return the words without those that a `not` or the like stands before."""
        return self.in_text(_NEGATED.sub(" ", self.text))

    def of_tables(self) -> Mentions:
        """Return the names that stand behind the word `table`; all words if none does."""
        return self.in_text("\n".join(_TABLE.findall(self.text)) or self.text)

    def has_path(self, path: str) -> bool:
        """Tell whether a text stands in the words as it is, and is no part of a longer one."""
        return re.search(_whole(path), self.text) is not None

    def has_text(self, text: str) -> bool:
        """Tell the same of a text in whatever case."""
        return bool(text) and re.search(_whole(_lowered(text)), _lowered(self.text)) is not None

    def has_name(self, name: str) -> bool:
        """Tell whether all words of a name are there, each by itself or all of them as one name."""
        return _is_in(stems(name), self.names)

    def has_exactly(self, name: str) -> bool:
        """Tell the same of words as they are spelt, in whatever case."""
        return _is_in(_parts(name), self.exact)

    def has_column(self, name: str) -> bool:
        """Tell whether a column is there: by what its name says besides being a name, if it says more than that."""
        own = [each for each in stems(name) if each not in _GENERIC]
        return self.has_name(name) or (bool(own) and all((each,) in self.names for each in own))

    def has_any(self, words: str) -> bool:
        """Tell whether one of some words is there."""
        return any(stems(word) in self.names for word in words.split())


def _is_in(parts: tuple[str, ...], names: frozenset[tuple[str, ...]]) -> bool:
    return bool(parts) and (parts in names or all((each,) in names for each in parts))


def _whole(text: str) -> str:
    return rf"(?<![\w./@-]){re.escape(text)}(?![\w/@-]|\.\w)"


def stems(name: str) -> tuple[str, ...]:
    """Return the stems of the words of a name: `OrderItems` and `order_items` have the same two."""
    return tuple(map(stem, _parts(name)))


def _parts(name: str) -> tuple[str, ...]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[^\W_]+", _lowered(apart)))


def _lowered(text: str) -> str:
    """Return a text in lower case, but for letters that only look like others then, as the sign of Kelvin does."""
    return "".join(low if (low := char.lower()).upper() == char else char for char in text)


def stem(word: str) -> str:
    """Return a word without the endings of plurals and of verbs: what is left of `cities` and `city` is the same."""
    for ending in ("ing", "es", "ed", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORT and not word.endswith("ss"):
            word = word.removesuffix(ending)
            break
    return word[:-1] + "i" if word.endswith("y") else word


_MODE_WORDS = {
    "append": "append add insert extend additional",
    "replace": "replace overwrite truncate refresh recreate reload rebuild swap wipe anew afresh scratch",
    "upsert": "upsert merge update sync synchronise synchronize",
}
_ENDINGS = {"jsonl": "json jsonl ndjson", "parquet": "parquet pq"}
_GRAMMAR = """
a an the all and or of on by per for each from in into to as with at is table tables file files row rows data
"""
_SAYS_NOTHING = frozenset(
    stem(word) for word in " ".join([_GRAMMAR, "csv tsv", *_MODE_WORDS.values(), *_ENDINGS.values()]).split()
)
"""What stands in any request: a relation of such a name is named by its id alone."""

_SEVERAL = "both all two three each compare comparing together union combine combined"
"""Words for several relations of one name."""

_HOME = ("public", "main", "dbo")
"""Schemas that need not be named."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A thing that was not named: its key, and what would be done in words: these are what the person confirms.

    Who has confirmed `whole`, if it is a part of something, has confirmed it as well. `asks` is the question for it
    where it is asked for by itself, whether it was named or not. `replaces`: data is lost by it. `output` is the one
    whose mode it is.
    """

    key: str
    words: str
    output: Output | None = None
    replaces: bool = False
    whole: str | None = None
    asks: str | None = None


def question_for(missing: Sequence[Unnamed]) -> tuple[Question, list[Unnamed]]:
    """Return the question for what was not named, and what of it that asks: first what is read and where rows go, then
    what is replaced, and last how rows go into a table.
    """
    asked = [each for each in missing if not (each.output or each.replaces)]
    asked = asked or [each for each in missing if each.replaces]
    if asked:
        return _confirming(asked), asked
    table = plain_name((missing[0].output and missing[0].output.table) or "")
    return Question(MODE, f"How do the rows go into the table {table}?", MODES), [missing[0]]


def _confirming(asked: Sequence[Unnamed]) -> Question:
    """Return the question whether all of something is meant."""
    *others, last = (each.words for each in asked)
    listed = f"{', '.join(others)} and {last}" if others else last
    text = f"You did not name all of it: this would {listed}. Go on?"
    if all(each.asks for each in asked):
        text = (asked[0].asks if len(asked) == 1 else None) or f"This would {listed}. Go on?"
    return Question(REPLACE if asked[0].replaces else GROUNDING, text, ("yes", "no"))


def unnamed(request: Request, choices: Choices, messages: Sequence[Message]) -> list[Unnamed]:
    """Return what a request has that the person's words do not, the relations first."""
    said = Mentions.of(messages)
    read = _read(request, choices)
    named = _named(read, choices, said)
    known = [*named, *_reached(named, [each for each in read if each not in named])]
    missing = [_reading(each) for each in read if each not in known or _is_abroad(each)]
    targets = (_target(output, request, choices, said) for output in request.outputs)
    return list(dict.fromkeys([*missing, *(each for target in targets for each in target)]))


def _read(request: Request, choices: Choices) -> list[Relation]:
    """Return the relations that a request reads, each once."""
    found = (choices.relation(source.relation) for source in request.sources)
    return list({each.id: each for each in found if each}.values())


def _named(read: Sequence[Relation], choices: Choices, said: Mentions) -> list[Relation]:
    """Return those relations of all that a request reads that the words name."""
    chosen = {each.id for each in read}
    return [each for each in read if _is_named(each, choices, chosen, said)]


def exposed(
    request: Request, choices: Choices, plan: Mapping[str, JsonValue], messages: Sequence[Message]
) -> list[Unnamed]:
    """Return what only a plan shows: columns that come out or decide about rows, rows that multiply, data replaced.

    `plan` is what there is to see of it, as `osiris compile --json` has it, with what `check` says is `deciding` and
    `multiplies`.
    """
    said = Mentions.of(messages)
    read = _read(request, choices)
    named = _named(read, choices, said)
    labels = {step["label"]: step["id"] for step in plan["steps"]}
    out = {labels[flow["source"]]: list(flow["columns"]) for flow in plan["flows"]}
    for step, columns in plan.get("deciding", {}).items():
        out[step] = list(dict.fromkeys([*out.get(step, ()), *columns]))
    used = {each.id: _used(each, request.sources, choices, out) for each in read}
    missing = [
        Unnamed(f"read {each.id}", f"read {_listed(columns)} of {plain_name(each.id)}", whole=_reading(each).words)
        for each in read
        if each not in named and (columns := _unnamed_columns(each, read, used[each.id], said))
    ]
    grown = [Unnamed(words, words, asks=f"This would {words}. Go on?") for words in plan.get("multiplies", ())]
    return missing + grown + _replaced(request, choices, plan, said)


def _used(
    relation: Relation, sources: Iterable[Source], choices: Choices, out: Mapping[str, list[str]]
) -> dict[str, None]:
    """Return the columns of a relation that are used, by whichever of the sources that read it."""
    names = (source_name(source, choices) for source in sources if source.relation == relation.id)
    return dict.fromkeys(column for name in names for column in out.get(name, ()))


def settings(request: Request, choices: Choices) -> list[str]:
    """Return what a request sets beside the person's words: options of readers, and paths that nobody named."""
    found = []
    for source in request.sources:
        types = {f"the type of {plain_name(each.column)}": each.type for each in source.dtype}
        options = {"encoding": source.encoding, "on_reject": source.on_reject, **types}
        name = plain_name(source.relation)
        found += [f"{name} is read with {key} {plain_name(value)}" for key, value in options.items() if value]
    paths = (path_of(output, request, choices) for output in request.outputs if output.path is None)
    return found + [f"the file is {plain_name(path)}" for path in paths if path]


def _reading(relation: Relation) -> Unnamed:
    if _is_abroad(relation):
        return _outside("read", relation.table)
    return Unnamed(f"read {relation.id}", f"read {plain_name(relation.id)}")


def _is_abroad(relation: Relation) -> bool:
    return relation.connection is None and _is_outside(relation.table)


def not_named(relations: Iterable[Relation], choices: Choices, messages: Sequence[Message]) -> list[Relation]:
    """Return those of some relations that the person has not named: of them no rows are shown to a model."""
    said = Mentions.of(messages)
    return [each for each in relations if not _is_named(each, choices, (), said)]


def _unnamed_columns(relation: Relation, read: Sequence[Relation], used: Iterable[str], said: Mentions) -> list[str]:
    """Return the columns of a relation that are used and neither named nor keys to others that are read."""
    keys = {name for each in read if each is not relation for name in _links(relation, each)}
    return [name for name in used if name not in keys and not said.has_column(name)]


def _links(relation: Relation, other: Relation) -> set[str]:
    """Return the columns of a relation by which keys lead to another one, or from it."""
    if relation.connection != other.connection:
        return set()
    to = {name for key in _keys(relation, other) for name in key.columns}
    return (
        to | _shared(relation, other) | {name for k in _keys(other, relation) for name in k.to or relation.primary_key}
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(plain_name, columns))


def _replaced(request: Request, choices: Choices, plan: Mapping[str, JsonValue], said: Mentions) -> list[Unnamed]:
    """Return the files and tables that are there and would be replaced, named or not, but for those that a pipeline of
    that name made of these sources.
    """
    if plan["previous"] and not any(flow["whole"] for flow in plan.get("new_flows", ())):
        return []
    lost = {target["target"] for target in plan["targets"] if "replaces" in target["action"]}
    found = []
    for output in request.outputs:
        path = path_of(output, request, choices)
        target = f"{output.connection}.{output.table}" if path is None else path
        if target in lost:
            found.append(_all_rows(output) if path is None else _over(path, said))
    return found


def _all_rows(output: Output) -> Unnamed:
    words = f"replace all rows of the table {plain_name(output.table or '')} in {output.connection}"
    return Unnamed(
        f"replace {output.connection} {output.table}", words, asks=f"This would {words}. Go on?", replaces=True
    )


def _reached(named: Collection[Relation], others: Collection[Relation]) -> list[Relation]:
    """Return those of the others to which keys lead from what is named, over as many of them as it takes."""
    reached, left = list(named), list(others)
    for each in reached:
        more = [other for other in left if _is_linked(each, other)]
        left = [other for other in left if other not in more]
        reached += more
    return reached[len(named) :]


def _is_linked(one: Relation, other: Relation) -> bool:
    return one.connection == other.connection and bool(_keys(one, other) or _keys(other, one) or _shared(one, other))


def _keys(of: Relation, to: Relation) -> list[ForeignKey]:
    """Return the foreign keys of a relation that lead to another one of the same connection."""
    if of.connection is None or of.connection != to.connection:
        return []
    last = to.table.rpartition(".")[2]
    return [key for key in of.foreign_keys if key.table.rpartition(".")[2] == last]


def _shared(one: Relation, other: Relation) -> set[str]:
    """Return the columns that two files have both, as keys do that nobody declared."""
    if one.connection or other.connection:
        return set()
    return {*one.names} & {*other.names}


def _over(path: str, said: Mentions) -> Unnamed:
    name, bare = plain_name(path), PurePosixPath(path).with_suffix("")
    is_named = said.has_path(path) or said.has_path(str(bare)) or said.after_to().has_exactly(bare.name)
    asks = f"{name} exists; replace it?" if is_named else None
    return Unnamed(f"write over {path}", f"write over the file {name}", asks=asks, replaces=True)


def _is_outside(path: str) -> bool:
    """Tell whether a path leads out of the project."""
    plain = posixpath.normpath(path)
    return plain.startswith("/") or plain.split("/", 1)[0] == ".."


def _outside(verb: str, path: str) -> Unnamed:
    words = f"{verb} {plain_name(path)}, outside of the project"
    return Unnamed(f"{verb} {path}", words, asks=f"This would {words}. Go on?")


def _target(target: Output, request: Request, choices: Choices, said: Mentions) -> Iterator[Unnamed]:
    writer = choices.writer(target.component)
    if writer is None:
        return
    if (path := path_of(target, request, choices)) is not None:
        yield from _file(replace(target, path=path), writer.ending or "", request, choices, said)
    else:
        yield from _table(target, request, choices, said)


def _table(target: Output, request: Request, choices: Choices, said: Mentions) -> Iterator[Unnamed]:
    table = plain_name(target.table or "")
    if not _names_target(target.connection or "", request, choices, said):
        yield Unnamed(f"write to {target.connection}", f"write to {target.connection}")
    if not _names_table(target, choices, said):
        yield Unnamed(f"write to {target.connection} {target.table}", f"write to the table {table}")
    if not _names_mode(target.mode or "", said):
        yield Unnamed(f"{target.mode} {target.connection} {target.table}", f"{target.mode} to {table}", output=target)
    if key := _unnamed_key(target, request, choices, said):
        yield Unnamed(f"by {', '.join(key)}", f"take rows of one {_listed(key)} for the same")


def _unnamed_key(target: Output, request: Request, choices: Choices, said: Mentions) -> list[str]:
    """Return the columns that would name a row, if they are neither named nor the key of what is read."""
    is_known = any(set(target.key) == set(each.primary_key) for each in _read(request, choices))
    return [] if is_known else [name for name in target.key if not said.has_column(name)]


def _file(target: Output, ending: str, request: Request, choices: Choices, said: Mentions) -> Iterator[Unnamed]:
    path = str(target.path)
    own = (path_of(replace(target, path=None), request, choices), f"output/{PurePosixPath(path).name}")
    named = said.has_path(path) or (path == own[1] and said.has_path(PurePosixPath(path).name))
    if _is_outside(path):
        yield _outside("write", path)
    if choices.relation(posixpath.normpath(path)):
        yield _over(path, said)
    elif _is_outside(path):
        return
    elif path != own[0] and not named:
        yield Unnamed(f"write {path}", f"write the file {plain_name(path)}")
    elif not named and not said.has_any(_ENDINGS.get(ending, ending)):
        yield Unnamed(f"as {ending}", f"write a {ending.upper()} file, {plain_name(path)}")


def _is_named(relation: Relation, choices: Choices, chosen: Iterable[str], said: Mentions) -> bool:
    """Tell whether a relation is in the person's words, and none of the same name could be meant instead."""
    name = _bare_name(relation)
    if said.has_text(relation.id):
        return True
    if not said.has_name(name) or _SAYS_NOTHING.issuperset(stems(name)):
        return False
    rivals = _rivals(relation, choices, said)
    if rivals and said.has_any(_SEVERAL):
        rivals = [each for each in rivals if each.id not in chosen]
    return rivals is not None and (not rivals or _names_source(relation, rivals, choices, said))


def _rivals(relation: Relation, choices: Choices, said: Mentions) -> list[Relation] | None:
    """Return others of the same name that the words fit as well; None if they are spelled like one of those alone."""
    name = _bare_name(relation)
    alike = [each for each in choices.relations if each is not relation and stems(_bare_name(each)) == stems(name)]
    spelled = [each for each in alike if said.has_exactly(_bare_name(each))]
    if said.has_exactly(name):
        return spelled
    return None if spelled else alike


def _names_source(relation: Relation, others: Sequence[Relation], choices: Choices, said: Mentions) -> bool:
    """Tell whether the words say which of some relations of one name is meant: by connection, ending or folder."""
    if relation.connection:
        known = _sources(choices)
        apart = all(each.connection != relation.connection for each in others)
        return apart and _names_connection(relation.connection, known, said)
    endings = {PurePosixPath(each.table).suffix for each in others if each.connection is None}
    suffix = PurePosixPath(relation.table).suffix
    return suffix not in endings and said.has_any(_ENDINGS.get(suffix[1:], f"{suffix[1:]} file"))


def _sources(choices: Choices) -> set[str]:
    """Return the connections that something can be read by."""
    return {each.connection for each in choices.relations if each.connection}


def _bare_name(relation: Relation) -> str:
    """Return the name of a relation without schema, folder and ending."""
    path = PurePosixPath(relation.table)
    return relation.table.rpartition(".")[2] if relation.connection else path.name.split(".", 1)[0]


def _names_table(target: Output, choices: Choices, said: Mentions) -> bool:
    """Tell whether a table is named to be written to: where words behind `table` name others, it must be among them.

    A table of another name that is there and has the same stems must not be meant instead.
    """
    table = target.table or ""
    schema, _, name = table.rpartition(".")
    told = said.of_tables()
    if told.has_text(table):
        return True
    others = {_bare_name(each) for each in choices.relations if each.connection == target.connection} - {name}
    is_another = any(stems(each) == stems(name) and said.has_exactly(each) for each in others)
    is_home = schema in ("", *_HOME) or said.has_name(schema)
    return told.has_name(name) and is_home and not is_another


def _names_mode(mode: str, said: Mentions) -> bool:
    """Tell whether a mode is named, and not forbidden; where rows are lost by it, no other mode may be named."""
    affirmed = said.affirmed()
    named = [name for name, words in _MODE_WORDS.items() if affirmed.has_any(words)]
    return named == [mode] if mode == "replace" else mode in named


def _names_connection(reference: str, known: Collection[str], said: Mentions) -> bool:
    """Tell whether a connection is named: as it is written, by its alias, or by its family if that has but one."""
    family, _, alias = reference.removeprefix("@").partition(".")
    if said.has_text(reference) or (alias and said.has_name(alias)):
        return True
    siblings = [each for each in known if each.removeprefix("@").partition(".")[0] == family]
    return len(siblings) == 1 and said.has_any(" ".join((family, *find_family(family).spoken)))


def _names_target(reference: str, request: Request, choices: Choices, said: Mentions) -> bool:
    """Tell whether a connection is named as the one to write to: where others are too, a word must lead to it.

    Of a family it is the one that is meant if all others of it are read.
    """
    read = {each.connection for each in _read(request, choices)}
    known = _sources(choices) | {name for each in choices.writers for name in each.connections}
    targets = (known - read) | {reference}
    if not _names_connection(reference, targets, said):
        return False
    others = [each for each in known if each != reference and _names_connection(each, known, said)]
    return (not others and reference not in read) or _names_connection(reference, targets, said.after_to())
