"""Grounding: what a request uses that the person has not named is asked about before anything else happens.

Names, comments and values of sources are untrusted, and a model that read them may follow them. So each relation that
is read, and each target and write mode, must appear in the person's words: by name or alias, family, path, suffix, or a
word for the mode. A choice that the person picked counts as their word too. Targets outside the project and data that
would be replaced are always asked about, named or not.

A relation that foreign keys link to a named one need not be named itself, if of its columns only keys and named ones
reach an output: `orders by country` names a column of the customers.
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
"""Stems in column names that identify no subject."""

_TO = re.compile(r"(?:\b(?:in)?to\b|\bonto\b|->|→)((?:\s+\S+){1,6})", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|of)\b", re.IGNORECASE)
_TABLE = re.compile(r"\btable\s+(?:named\s+|called\s+)?[\"'`]?([\w.]+)", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|never|no|without|don't|dont|instead of|rather than)\s+(?:to\s+)?\w+", re.IGNORECASE)
_SHORT = 3
"""Shortest stem: `bus` is no plural."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """The person's words as text and as stems; a word of several names, as `order_items`, has several."""

    text: str
    names: frozenset[tuple[str, ...]]
    exact: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, messages: Iterable[Message]) -> Mentions:
        """Return the words of the person among messages."""
        return cls.in_text(
            "\n".join(m.text for m in messages if m.role == "person" and m.about not in (GROUNDING, REPLACE))
        )

    @classmethod
    def in_text(cls, text: str) -> Mentions:
        """Return a text as words of the person."""
        words = re.findall(r"\w+", text)
        return cls(text, frozenset(map(stems, words)), frozenset(map(_parts, words)))

    def after_to(self) -> Mentions:
        """Return the few words after each `to`, up to a `from` or `of`."""
        return self.in_text("\n".join(_FROM.split(each)[0] for each in _TO.findall(self.text)))

    def affirmed(self) -> Mentions:
        """Return the words without those that follow a `not` or the like."""
        return self.in_text(_NEGATED.sub(" ", self.text))

    def of_tables(self) -> Mentions:
        """Return the names that follow the word `table`; all words if there is none."""
        return self.in_text("\n".join(_TABLE.findall(self.text)) or self.text)

    def has_path(self, path: str) -> bool:
        """Tell whether the words contain a text verbatim, not as part of a longer one."""
        return re.search(_whole(path), self.text) is not None

    def has_text(self, text: str) -> bool:
        """Tell the same case-insensitively."""
        return bool(text) and re.search(_whole(_lowered(text)), _lowered(self.text)) is not None

    def has_name(self, name: str) -> bool:
        """Tell whether all words of a name are present, each by itself or all of them as one name."""
        return _is_in(stems(name), self.names)

    def has_exactly(self, name: str) -> bool:
        """Tell the same without stemming, case-insensitively."""
        return _is_in(_parts(name), self.exact)

    def has_column(self, name: str) -> bool:
        """Tell whether a column is mentioned: its name, or the specific words of its name if it has any."""
        specific = [each for each in stems(name) if each not in _GENERIC]
        return self.has_name(name) or (bool(specific) and all((each,) in self.names for each in specific))

    def has_any(self, words: str) -> bool:
        """Tell whether one of some words is present."""
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
    """Return a text in lower case, except letters that do not round-trip, as the Kelvin sign."""
    return "".join(low if (low := char.lower()).upper() == char else char for char in text)


def stem(word: str) -> str:
    """Return a word without the endings of plurals and verbs: `cities` and `city` have one stem."""
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
_STOP_STEMS = frozenset(
    stem(word) for word in " ".join([_GRAMMAR, "csv tsv", *_MODE_WORDS.values(), *_ENDINGS.values()]).split()
)
"""Words of any request: a relation of such a name is named by its id alone."""

_SEVERAL = "both all two three each compare comparing together union combine combined"
"""Words that refer to several relations of one name."""

_HOME = ("public", "main", "dbo")
"""Default schemas, which need not be named."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Something that was not named: its key, and a sentence for what would happen, which the person confirms.

    Confirming `whole`, if it is part of something, confirms it too. `asks` is its own question where one is always
    asked, whether it was named or not. `replaces`: it loses data. `output` is the one whose mode it is.
    """

    key: str
    words: str
    output: Output | None = None
    replaces: bool = False
    whole: str | None = None
    asks: str | None = None


def question_for(missing: Sequence[Unnamed]) -> tuple[Question, list[Unnamed]]:
    """Return the next question, and its items: reads and targets first, then what is replaced, last the write mode."""
    items = [each for each in missing if not (each.output or each.replaces)]
    items = items or [each for each in missing if each.replaces]
    if items:
        return _confirming(items), items
    table = plain_name((missing[0].output and missing[0].output.table) or "")
    return Question(MODE, f"How do the rows go into the table {table}?", MODES), [missing[0]]


def _confirming(items: Sequence[Unnamed]) -> Question:
    """Return the question whether to go on with all items."""
    *others, last = (each.words for each in items)
    listed = f"{', '.join(others)} and {last}" if others else last
    text = f"You did not name all of it: this would {listed}. Go on?"
    if all(each.asks for each in items):
        text = (items[0].asks if len(items) == 1 else None) or f"This would {listed}. Go on?"
    return Question(REPLACE if items[0].replaces else GROUNDING, text, ("yes", "no"))


def unnamed(request: Request, choices: Choices, messages: Sequence[Message]) -> list[Unnamed]:
    """Return what a request uses that the person's words do not name, the relations first."""
    mentions = Mentions.of(messages)
    relations = _relations_of(request, choices)
    named = _named(relations, choices, mentions)
    covered = [*named, *_linked_to(named, [each for each in relations if each not in named])]
    missing = [_reading(each) for each in relations if each not in covered or _is_external_file(each)]
    targets = (_target(output, request, choices, mentions) for output in request.outputs)
    return list(dict.fromkeys([*missing, *(each for target in targets for each in target)]))


def _relations_of(request: Request, choices: Choices) -> list[Relation]:
    """Return the relations that a request reads, each once."""
    relations = (choices.relation(source.relation) for source in request.sources)
    return list({each.id: each for each in relations if each}.values())


def _named(relations: Sequence[Relation], choices: Choices, mentions: Mentions) -> list[Relation]:
    """Return the relations that the words name."""
    chosen = {each.id for each in relations}
    return [each for each in relations if _is_named(each, choices, chosen, mentions)]


def exposed_by_plan(
    request: Request, choices: Choices, plan: Mapping[str, JsonValue], messages: Sequence[Message]
) -> list[Unnamed]:
    """Return what only a plan shows: columns that reach outputs or decide rows, joins that multiply rows, data
    replaced.

    `plan` is the `plan` of `osiris compile --json`, with `deciding` and `multiplies` of `check`.
    """
    mentions = Mentions.of(messages)
    relations = _relations_of(request, choices)
    named = _named(relations, choices, mentions)
    labels = {step["label"]: step["id"] for step in plan["steps"]}
    out = {labels[flow["source"]]: list(flow["columns"]) for flow in plan["flows"]}
    for step, columns in plan.get("deciding", {}).items():
        out[step] = list(dict.fromkeys([*out.get(step, ()), *columns]))
    used = {each.id: _used(each, request.sources, choices, out) for each in relations}
    missing = [
        Unnamed(f"read {each.id}", f"read {_listed(columns)} of {plain_name(each.id)}", whole=_reading(each).words)
        for each in relations
        if each not in named and (columns := _unnamed_columns(each, relations, used[each.id], mentions))
    ]
    grown = [Unnamed(words, words, asks=f"This would {words}. Go on?") for words in plan.get("multiplies", ())]
    return missing + grown + _replaced_targets(request, choices, plan, mentions)


def _used(
    relation: Relation, sources: Iterable[Source], choices: Choices, out: Mapping[str, list[str]]
) -> dict[str, None]:
    """Return the used columns of a relation, over all sources that read it."""
    names = (source_name(source, choices) for source in sources if source.relation == relation.id)
    return dict.fromkeys(column for name in names for column in out.get(name, ()))


def settings(request: Request, choices: Choices) -> list[str]:
    """Return what a request sets although the user did not mention it: reader options and paths."""
    texts = []
    for source in request.sources:
        types = {f"the type of {plain_name(each.column)}": each.type for each in source.dtype}
        options = {"encoding": source.encoding, "on_reject": source.on_reject, **types}
        name = plain_name(source.relation)
        texts += [f"{name} is read with {key} {plain_name(value)}" for key, value in options.items() if value]
    paths = (path_of(output, request, choices) for output in request.outputs if output.path is None)
    return texts + [f"the file is {plain_name(path)}" for path in paths if path]


def _reading(relation: Relation) -> Unnamed:
    if _is_external_file(relation):
        return _outside_project("read", relation.table)
    return Unnamed(f"read {relation.id}", f"read {plain_name(relation.id)}")


def _is_external_file(relation: Relation) -> bool:
    return relation.connection is None and _is_outside(relation.table)


def unnamed_relations(relations: Iterable[Relation], choices: Choices, messages: Sequence[Message]) -> list[Relation]:
    """Return the relations that the person has not named: their rows are not shown to a model."""
    mentions = Mentions.of(messages)
    return [each for each in relations if not _is_named(each, choices, (), mentions)]


def _unnamed_columns(
    relation: Relation, relations: Sequence[Relation], used: Iterable[str], mentions: Mentions
) -> list[str]:
    """Return the used columns of a relation that are neither named nor keys to other relations."""
    keys = {name for each in relations if each is not relation for name in _links(relation, each)}
    return [name for name in used if name not in keys and not mentions.has_column(name)]


def _links(relation: Relation, other: Relation) -> set[str]:
    """Return the columns of a relation that link it to another one, in either direction."""
    if relation.connection != other.connection:
        return set()
    to = {name for key in _keys(relation, other) for name in key.columns}
    return (
        to | _shared(relation, other) | {name for k in _keys(other, relation) for name in k.to or relation.primary_key}
    )


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(map(plain_name, columns))


def _replaced_targets(
    request: Request, choices: Choices, plan: Mapping[str, JsonValue], mentions: Mentions
) -> list[Unnamed]:
    """Return the existing targets that would be replaced, except those that this pipeline wrote from these sources."""
    if plan["previous"] and not any(flow["whole"] for flow in plan.get("new_flows", ())):
        return []
    lost = {target["target"] for target in plan["targets"] if "replaces" in target["action"]}
    items = []
    for output in request.outputs:
        path = path_of(output, request, choices)
        target = f"{output.connection}.{output.table}" if path is None else path
        if target in lost:
            items.append(_all_rows(output) if path is None else _overwrites(path, mentions))
    return items


def _all_rows(output: Output) -> Unnamed:
    words = f"replace all rows of the table {plain_name(output.table or '')} in {output.connection}"
    return Unnamed(
        f"replace {output.connection} {output.table}", words, asks=f"This would {words}. Go on?", replaces=True
    )


def _linked_to(named: Collection[Relation], others: Collection[Relation]) -> list[Relation]:
    """Return the others that keys link to the named ones, over any number of hops."""
    reached, remaining = list(named), list(others)
    for each in reached:
        more = [other for other in remaining if _is_linked(each, other)]
        remaining = [other for other in remaining if other not in more]
        reached += more
    return reached[len(named) :]


def _is_linked(one: Relation, other: Relation) -> bool:
    return one.connection == other.connection and bool(_keys(one, other) or _keys(other, one) or _shared(one, other))


def _keys(of: Relation, to: Relation) -> list[ForeignKey]:
    """Return the foreign keys of a relation that refer to another one of the same connection."""
    if of.connection is None or of.connection != to.connection:
        return []
    last = to.table.rpartition(".")[2]
    return [key for key in of.foreign_keys if key.table.rpartition(".")[2] == last]


def _shared(one: Relation, other: Relation) -> set[str]:
    """Return the columns that two files have in common, as undeclared keys."""
    if one.connection or other.connection:
        return set()
    return {*one.names} & {*other.names}


def _overwrites(path: str, mentions: Mentions) -> Unnamed:
    name, base = plain_name(path), PurePosixPath(path).with_suffix("")
    is_named = mentions.has_path(path) or mentions.has_path(str(base)) or mentions.after_to().has_exactly(base.name)
    asks = f"{name} exists; replace it?" if is_named else None
    return Unnamed(f"write over {path}", f"write over the file {name}", asks=asks, replaces=True)


def _is_outside(path: str) -> bool:
    """Tell whether a path leads out of the project."""
    normalized = posixpath.normpath(path)
    return normalized.startswith("/") or normalized.split("/", 1)[0] == ".."


def _outside_project(verb: str, path: str) -> Unnamed:
    words = f"{verb} {plain_name(path)}, outside of the project"
    return Unnamed(f"{verb} {path}", words, asks=f"This would {words}. Go on?")


def _target(target: Output, request: Request, choices: Choices, mentions: Mentions) -> Iterator[Unnamed]:
    writer = choices.writer(target.component)
    if writer is None:
        return
    if (path := path_of(target, request, choices)) is not None:
        yield from _file(replace(target, path=path), writer.ending or "", request, choices, mentions)
    else:
        yield from _table(target, request, choices, mentions)


def _table(target: Output, request: Request, choices: Choices, mentions: Mentions) -> Iterator[Unnamed]:
    table = plain_name(target.table or "")
    if not _names_target(target.connection or "", request, choices, mentions):
        yield Unnamed(f"write to {target.connection}", f"write to {target.connection}")
    if not _names_table(target, choices, mentions):
        yield Unnamed(f"write to {target.connection} {target.table}", f"write to the table {table}")
    if not _names_mode(target.mode or "", mentions):
        yield Unnamed(f"{target.mode} {target.connection} {target.table}", f"{target.mode} to {table}", output=target)
    if key := _unnamed_key(target, request, choices, mentions):
        yield Unnamed(f"by {', '.join(key)}", f"take rows of one {_listed(key)} for the same")


def _unnamed_key(target: Output, request: Request, choices: Choices, mentions: Mentions) -> list[str]:
    """Return the upsert key columns that are neither named nor the primary key of what is read."""
    is_known = any(set(target.key) == set(each.primary_key) for each in _relations_of(request, choices))
    return [] if is_known else [name for name in target.key if not mentions.has_column(name)]


def _file(target: Output, ending: str, request: Request, choices: Choices, mentions: Mentions) -> Iterator[Unnamed]:
    path = str(target.path)
    defaults = (path_of(replace(target, path=None), request, choices), f"output/{PurePosixPath(path).name}")
    named = mentions.has_path(path) or (path == defaults[1] and mentions.has_path(PurePosixPath(path).name))
    if _is_outside(path):
        yield _outside_project("write", path)
    if choices.relation(posixpath.normpath(path)):
        yield _overwrites(path, mentions)
    elif _is_outside(path):
        return
    elif path != defaults[0] and not named:
        yield Unnamed(f"write {path}", f"write the file {plain_name(path)}")
    elif not named and not mentions.has_any(_ENDINGS.get(ending, ending)):
        yield Unnamed(f"as {ending}", f"write a {ending.upper()} file, {plain_name(path)}")


def _is_named(relation: Relation, choices: Choices, chosen: Iterable[str], mentions: Mentions) -> bool:
    """Tell whether the person's words name a relation, and could mean no other of the same name."""
    name = _bare_name(relation)
    if mentions.has_text(relation.id):
        return True
    if not mentions.has_name(name) or _STOP_STEMS.issuperset(stems(name)):
        return False
    rivals = _rivals(relation, choices, mentions)
    if rivals and mentions.has_any(_SEVERAL):
        rivals = [each for each in rivals if each.id not in chosen]
    return rivals is not None and (not rivals or _names_source(relation, rivals, choices, mentions))


def _rivals(relation: Relation, choices: Choices, mentions: Mentions) -> list[Relation] | None:
    """Return other relations that the words fit equally; None if the words spell only such another one."""
    name = _bare_name(relation)
    namesakes = [each for each in choices.relations if each is not relation and stems(_bare_name(each)) == stems(name)]
    spelled = [each for each in namesakes if mentions.has_exactly(_bare_name(each))]
    if mentions.has_exactly(name):
        return spelled
    return None if spelled else namesakes


def _names_source(relation: Relation, others: Sequence[Relation], choices: Choices, mentions: Mentions) -> bool:
    """Tell whether the words single out one of several relations of one name: by connection, suffix or folder."""
    if relation.connection:
        connections = _sources(choices)
        apart = all(each.connection != relation.connection for each in others)
        return apart and _names_connection(relation.connection, connections, mentions)
    endings = {PurePosixPath(each.table).suffix for each in others if each.connection is None}
    suffix = PurePosixPath(relation.table).suffix
    return suffix not in endings and mentions.has_any(_ENDINGS.get(suffix[1:], f"{suffix[1:]} file"))


def _sources(choices: Choices) -> set[str]:
    """Return the connections that can be read."""
    return {each.connection for each in choices.relations if each.connection}


def _bare_name(relation: Relation) -> str:
    """Return the name of a relation without schema, folder and suffix."""
    path = PurePosixPath(relation.table)
    return relation.table.rpartition(".")[2] if relation.connection else path.name.split(".", 1)[0]


def _names_table(target: Output, choices: Choices, mentions: Mentions) -> bool:
    """Tell whether a target table is named: where words after `table` name tables, it must be among them.

    An existing table with the same stems must not be meant instead.
    """
    table = target.table or ""
    schema, _, name = table.rpartition(".")
    table_mentions = mentions.of_tables()
    if table_mentions.has_text(table):
        return True
    others = {_bare_name(each) for each in choices.relations if each.connection == target.connection} - {name}
    is_another = any(stems(each) == stems(name) and mentions.has_exactly(each) for each in others)
    is_home = schema in ("", *_HOME) or mentions.has_name(schema)
    return table_mentions.has_name(name) and is_home and not is_another


def _names_mode(mode: str, mentions: Mentions) -> bool:
    """Tell whether a mode is named, and not negated; for `replace`, no other mode may be named."""
    affirmed = mentions.affirmed()
    modes = [name for name, words in _MODE_WORDS.items() if affirmed.has_any(words)]
    return modes == [mode] if mode == "replace" else mode in modes


def _names_connection(reference: str, connections: Collection[str], mentions: Mentions) -> bool:
    """Tell whether a connection is named: by reference, by alias, or by its family if that has only one."""
    family, _, alias = reference.removeprefix("@").partition(".")
    if mentions.has_text(reference) or (alias and mentions.has_name(alias)):
        return True
    siblings = [each for each in connections if each.removeprefix("@").partition(".")[0] == family]
    return len(siblings) == 1 and mentions.has_any(" ".join((family, *find_family(family).spoken)))


def _names_target(reference: str, request: Request, choices: Choices, mentions: Mentions) -> bool:
    """Tell whether a connection is named as the target: where others are too, it must follow a `to`.

    A family name means the one of its connections that is not read.
    """
    sources = {each.connection for each in _relations_of(request, choices)}
    connections = _sources(choices) | {name for each in choices.writers for name in each.connections}
    targets = (connections - sources) | {reference}
    if not _names_connection(reference, targets, mentions):
        return False
    others = [each for each in connections if each != reference and _names_connection(each, connections, mentions)]
    return (not others and reference not in sources) or _names_connection(reference, targets, mentions.after_to())
