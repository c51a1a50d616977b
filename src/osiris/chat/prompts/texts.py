"""The texts: in this package, or in a folder where a person keeps their own.

A text has places, as `{{conversation}}`. Each text has its own set of them, so that one that is misspelled is an error
with its line rather than something that a model reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import make_folder, write_file
from osiris.errors import Location, diagnostic, did_you_mean, fail, has_errors, raise_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.errors import Diagnostic

FOLDER = ".osiris_prompts"
"""Where a project has its own prompts."""

INTENT = "conversation_system.txt"
SQL = "sql_generation_system.txt"
USER = "user_prompt_template.txt"
INTENT_EXAMPLE = "intent_example.txt"
SQL_EXAMPLE = "synthesis_example.txt"

PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    INTENT: ((), ("fast", "example")),
    SQL: ((), ("fast", "example")),
    USER: (("conversation", "context", "draft", "problems"), ("task",)),
    INTENT_EXAMPLE: ((), ()),
    SQL_EXAMPLE: ((), ()),
}
"""Each text with the places that it must have, and those that it may have."""

_PLACE = re.compile(r"\{\{\s*([^{}\n]*?)\s*\}\}")
_LARGEST = 100_000


@dataclass(frozen=True, slots=True)
class Prompts:
    """The texts by name; all of them are there, and right."""

    texts: Mapping[str, str]

    def filled(self, name: str, values: Mapping[str, str]) -> str:
        """Return a text with its places filled; what is put in is not looked at again."""
        return _PLACE.sub(lambda place: values[place[1]], self.texts[name]).strip()


def own_prompts() -> Prompts:
    """Return the texts of this package."""
    return read_prompts(Path(__file__).parent, shown="osiris/chat/prompts")


def read_prompts(folder: Path, shown: str) -> Prompts:
    """Return the texts of a folder, named `shown` in errors; fails with LLM030 to LLM032 for all that is wrong."""
    texts = {name: _read(folder / name, f"{shown}/{name}") for name in PLACES}
    found = [item for name, text in texts.items() for item in _problems(name, text, f"{shown}/{name}")]
    if has_errors(found):
        raise_all(found)
    return Prompts(texts)


def dump_prompts(folder: Path, *, force: bool) -> list[str]:
    """Write the texts of this package into a folder, to be changed; returns their names.

    Fails with PRJ014 if one is there already, unless with `force`, and with PRJ006 if it cannot be written.
    """
    there = [name for name in PLACES if (folder / name).exists()]
    if there and not force:
        fail("PRJ014", path=folder / there[0], hint="choose another folder with --dir, or write it anew with --force")
    texts = own_prompts().texts
    make_folder(folder, private=False)
    for name, text in texts.items():
        write_file(folder / name, text.encode(), private=False)
    return list(texts)


def _read(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        fail("LLM032", path=shown, reason=error.strerror)
    if len(data) > _LARGEST:
        fail("LLM032", path=shown, reason=f"it has more than {_LARGEST:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        fail("LLM032", path=shown, reason="it is not UTF-8")


def _problems(name: str, text: str, shown: str) -> Iterator[Diagnostic]:
    needed, allowed = PLACES[name]
    found = {place[1]: place.start() for place in reversed(list(_PLACE.finditer(text)))}
    for place, start in found.items():
        if place not in (*needed, *allowed):
            before = text[:start]
            at = Location(shown, before.count("\n") + 1, start - before.rfind("\n"))
            yield diagnostic("LLM030", at=at, name=place, hint=did_you_mean(place, (*needed, *allowed)))
    for place in needed:
        if place not in found:
            yield diagnostic("LLM031", at=Location(shown), name=place)
