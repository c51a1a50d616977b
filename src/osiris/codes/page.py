"""The page of a code: what it means, an example that triggers it, and the corrected one.

The pages of a prefix are in `pages/<prefix>.md`, a section per code. Its text comes first, then fenced blocks: files
(```` ```yaml wrong PATH ````; `given` and `right` as well) and command lines (```` ```console ````, where `wrong` or
`right` may follow). A section without blocks says in `No example: …` what an example would take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Version: TypeAlias = Literal["wrong", "right"]

_FOLDER = Path(__file__).with_name("pages")
_SECTION = re.compile(r"^## (?=[A-Z]{3}\d{3}$)", re.MULTILINE)
_FENCE = re.compile(r"^```(\w+)(?: (\w+))?(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A file, or command lines if it has no path; `kind` is given, wrong, right, or empty for both versions."""

    language: str
    kind: str
    path: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Return the command lines; none if this is a file."""
        return [] if self.path else [line.removeprefix("$ ") for line in self.text.splitlines()]


@dataclass(frozen=True, slots=True)
class Page:
    """The page of a code; without blocks where no example can be given."""

    meaning: str
    blocks: tuple[Block, ...] = ()

    def example(self, version: Version) -> dict[str, dict[str, str] | list[str]]:
        """Return the files and commands of an example; the last command of the wrong one reports the code."""
        blocks = [block for block in self.blocks if block.kind in ("", "given", version)]
        return {
            "files": {block.path: block.text for block in blocks if block.path},
            "commands": [command for block in blocks for command in block.commands],
        }

    def parts(self) -> list[tuple[str, list[Block]]]:
        """Return the blocks as they are shown, below the title of each part; nothing without an example."""
        corrected = [block for block in self.blocks if block.kind == "right"]
        example = [block for block in self.blocks if block.kind != "right"]
        return [("Example", example), ("Corrected", corrected)] if example else []


def load_pages(prefix: str) -> dict[str, Page]:
    """Return the pages of a prefix by code, in the order of their file."""
    path = _FOLDER / f"{prefix.lower()}.md"
    sections = _SECTION.split(path.read_text(encoding="utf-8"))[1:] if path.is_file() else []
    return {section[:6]: _page(section[7:]) for section in sections}


def load_page(code: str) -> Page:
    """Return the page of a code."""
    return load_pages(code[:3])[code]


def _page(section: str) -> Page:
    fences = (match.groups("") for match in _FENCE.finditer(section))
    return Page(_FENCE.split(section, 1)[0].strip(), tuple(Block(*fence) for fence in fences))
