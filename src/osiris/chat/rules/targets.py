"""Where rows go: from what was said of it to the target of a proposal; nothing of it is ever assumed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from osiris.chat.proposal import Target
from osiris.chat.rules.answers import Ask, Cannot
from osiris.chat.rules.vocabulary import FORMATS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from osiris.chat.choices import Choices, Relation, Writer
    from osiris.chat.rules.query import Goal
    from osiris.chat.rules.rendering import Made
    from osiris.chat.rules.scope import Scope

_MODES = ("append", "replace", "upsert")
_WHERE = "Where do the rows go?"


def references(goal: Goal, choices: Choices, read: Sequence[Relation] = ()) -> list[str]:
    """Return the connections that are meant as the target; those that are read only where no other one is meant."""
    known = sorted({each for writer in choices.writers for each in writer.connections})
    found: list[str] = []
    for kind, name in goal.places:
        found += [each for each in known if _is_meant(each, kind, name.lower()) and each not in found]
    busy = {each.connection for each in read}
    exact = any(kind in ("ref", "alias") for kind, _ in goal.places)
    return found if exact else ([each for each in found if each not in busy] or found)


def _is_meant(reference: str, kind: str, name: str) -> bool:
    family, _, alias = reference.lower().removeprefix("@").partition(".")
    match kind:
        case "ref":
            return name in (reference.lower(), f"@{family}")
        case "alias":
            return name == alias
        case "family":
            return name == family
        case _:
            return True


def target(goal: Goal, made: Made, scope: Scope) -> Target:
    """Return the target; asks for what was not said of it."""
    choices = scope.choices
    if goal.places:
        if goal.paths or goal.formats:
            raise Ask("target", "One pipeline has one target. Which one?", _offers(choices))
        return _table_target(goal, made, scope)
    if not goal.paths and not goal.formats:
        raise Ask("target", _WHERE, _offers(choices))
    if any(mode != "replace" for mode in goal.modes):
        raise Cannot("a file is always written anew: I can append or upsert only to a table of a database")
    return _file_target(goal, made, choices)


def _offers(choices: Choices) -> tuple[str, ...]:
    files = [f"{FORMATS.get(ending, ending)} file" for writer in choices.writers if (ending := _ending(writer))]
    tables = sorted({each for writer in choices.writers for each in writer.connections})
    return tuple(dict.fromkeys([*files, *tables]))


def _ending(writer: Writer) -> str:
    return (writer.ending or "").lstrip(".")


def _file_target(goal: Goal, made: Made, choices: Choices) -> Target:
    if len(goal.paths) > 1:
        raise Ask("target", "One pipeline writes one file. Which one?", tuple(goal.paths))
    path = goal.paths[0] if goal.paths else None
    formats = list(goal.formats)
    if path:
        if any(relation.id == path or relation.table == path for relation in made.relations):
            raise Cannot(f"{path} is what is read, so it cannot be written")
        formats = _with_ending(path, formats)
    if len(formats) > 1:
        raise Ask("target", "One pipeline writes one file. In which format?", tuple(f"{each} file" for each in formats))
    found = next((each for each in choices.writers if FORMATS.get(_ending(each)) == formats[0]), None)
    if found is None:
        raise Cannot(f"I cannot write {formats[0]} files here")
    return Target(found.component, path=path)


def _with_ending(path: str, formats: list[str]) -> list[str]:
    """Return the formats that were said, with that of a path's ending."""
    suffixes = [suffix.lstrip(".").lower() for suffix in PurePosixPath(path).suffixes if suffix not in (".gz", ".zst")]
    if not suffixes:
        if not formats:
            raise Ask("target", f"In which format is {path} written?", ("csv file", "parquet file", "json file"))
        return formats
    told = FORMATS.get(suffixes[-1])
    if told is None:
        raise Cannot(f"I cannot write .{suffixes[-1]} files")
    return list(dict.fromkeys([told, *formats]))


def _table_target(goal: Goal, made: Made, scope: Scope) -> Target:
    choices = scope.choices
    found = references(goal, choices, made.relations)
    if not found:
        raise Cannot(f"I cannot write to {goal.places[0][1]}: no connection of that name can be written to")
    if len(found) > 1:
        raise Ask("target", "Which database do the rows go to?", tuple(found))
    reference = found[0]
    table = goal.table or _same_name(made)
    if any(each.connection == reference and each.table.lower() == table.lower() for each in made.relations):
        raise Cannot(f"{reference}/{table} is what is read, so it cannot be written")
    modes = list(dict.fromkeys(goal.modes))
    if len(modes) != 1:
        raise Ask("mode", f"How do the rows go into the table {table}?", _MODES)
    writer = next(each for each in choices.writers if reference in each.connections)
    key = _key(goal, made, scope) if modes[0] == "upsert" else ()
    if goal.key and not key:
        raise Ask("mode", f"A key is only for upsert. How do the rows go into the table {table}?", _MODES)
    return Target(writer.component, connection=reference, table=table, mode=modes[0], key=key)


def _same_name(made: Made) -> str:
    if made.grouped or not made.relations or len(made.relations) > 1:
        raise Ask("name", "What is the table called that the rows go into?")
    relation = made.relations[0]
    return relation.table.rpartition(".")[2] if relation.connection else relation.name


def _key(goal: Goal, made: Made, scope: Scope) -> tuple[str, ...]:
    if goal.key:
        names = tuple(_column(each, made, scope) for each in goal.key)
        missing = [each for each in names if each not in made.columns]
        if missing:
            raise Ask("key", f"{', '.join(missing)} is not among the columns. By which is upserted?", made.columns[:12])
        return names
    keys = made.relations[0].primary_key if len(made.relations) == 1 and not made.grouped else ()
    if not keys or any(each not in made.columns for each in keys):
        raise Ask("key", "Which columns name a row, for upsert?", made.columns[:12])
    scope.assume(f"rows are the same if they have the same {', '.join(keys)}")
    return keys


def _column(mention: object, made: Made, scope: Scope) -> str:
    text = getattr(mention, "text", "").lower().replace(" ", "_")
    same = [each for each in made.columns if each.lower() == text]
    return same[0] if same else scope.column_of(mention).column.name  # type: ignore[arg-type]
