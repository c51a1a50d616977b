"""What a component's name says, word by word, and which component is meant by a name that is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.errors import certain, nearest
from osiris.family_spec import all_families

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS = ("extractor", "writer", "processor")
LIST = "see 'osiris components list'"
_KINDS = {
    "reader": "extractor",
    "read": "extractor",
    "extract": "extractor",
    "source": "extractor",
    "sink": "writer",
    "write": "writer",
    "target": "writer",
    "destination": "writer",
    "transform": "processor",
    "transformer": "processor",
    "transformation": "processor",
}
"""What other tools call kinds of components; what may be read in two ways, as a loader, is not here."""

_FORMATS = {
    **dict.fromkeys(("jsonl", "ndjson"), "json"),
    **dict.fromkeys(("tsv", "txt"), "csv"),
    "pq": "parquet",
    "mssql": "mssql",  # one letter from mysql, and another server
}
"""What else formats are called, and a word that is no slip of another."""

_WORD = 4
_SLIP = 0.75
"""What is at least so long and so much like a word may be it, in hints."""


def meant_component(name: str, names: Iterable[str], family: str | None = None) -> tuple[str | None, str | None]:
    """Return the component that a name surely is, and a hint at what it may mean, each None if there is none.

    Neither reads where the name says to write, nor the other way round. `family` is that of the step's connection.
    """
    known = list(names)
    named = _of_kind(name.lower())
    if f"{family}.{named}" in known:
        named = f"{family}.{named}"
    kind = [each for each in known if each.partition(".")[2] == named]
    sure = kind[0] if len(kind) == 1 else certain(named, known)
    return sure, f"did you mean '{sure}'?" if sure else hint_at(name, known)


def hint_at(name: str, names: Iterable[str]) -> str:
    """Return a hint at the components that a name may mean, or at the list of all."""
    known = _stores()
    stores = [known[word] for word in _words(name) if word in known]
    found = matching(name, names, loosely=True)
    if stores and found:
        reached = f'connection: "@{stores[0]}.ALIAS"'
        return f"files of a store are reached by a component for files and a connection: '{found[0]}' with {reached}"
    if len(found) == 1:
        return f"did you mean '{found[0]}'?"
    return f"one of: {', '.join(found)}" if found else LIST


def matching(text: str, names: Iterable[str], *, loosely: bool = False) -> list[str]:
    """Return the components in whose names all words of a text are, by whatever name they go; none for no words.

    Loosely, words that are in no name do not count; one that says what is read or written must be there.
    """
    words = {name: {*_words(name)} for name in names}
    known = {word for each in words.values() for word in each}
    aliases = {**_KINDS, **_FORMATS, **_subjects(), **{word: word for word in known}}
    wanted = {aliases.get(word, word) for word in (_likely(word, aliases) for word in _words(text))}
    wanted = wanted & known if loosely else wanted
    return [name for name, own in words.items() if wanted <= own] if wanted - {*KINDS} else []


def _stores() -> dict[str, str]:
    """Return the family of connections that leads to the files of a store, by what the store is called."""
    stores = [family for family in all_families() if family.scheme]
    return {word: family.name for family in stores for word in (family.scheme, family.name, *family.aliases)}


def _subjects() -> dict[str, str]:
    """Return the families by what else they are called; a store is read and written as files are."""
    families = [family for family in all_families() if not family.scheme]
    aliases = {word: family.name for family in families for word in family.aliases}
    files = [family.name for family in families if family.local_files]
    return {**aliases, **dict.fromkeys(_stores() if files else (), *files[:1])}


def _of_kind(name: str) -> str:
    """Return a component's name with the kind as it is called here."""
    return re.sub(r"[a-z]+$", lambda word: _KINDS.get(word[0], word[0]), name)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z][a-z0-9]*", text.lower())


def _likely(word: str, vocabulary: Iterable[str]) -> str:
    """Return the known word that one may be a slip of, or itself."""
    if len(word) < _WORD:
        return word
    return nearest(word, (each for each in vocabulary if len(each) >= _WORD), _SLIP) or word
