"""New folders from templates: a project, the demo's project, a component's package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.durable import create_file, make_folder
from osiris.errors import fail
from osiris.path_policy import MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from osiris.model import JsonValue

TEMPLATES = Path(__file__).parents[1] / "templates"
COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


def init_project(folder: Path) -> list[str]:
    """Lay out a new project; returns the files, relative to it. Fails with PRJ005 if one of them exists."""
    return lay_out("init", folder)


def demo_project(folder: Path) -> list[str]:
    """Lay out the demo's project with its data; as `init_project`."""
    return lay_out("demo", folder)


def new_component(name: str, folder: Path | None = None) -> dict[str, JsonValue]:
    """Lay out a package with a new component; returns its folder and files. Fails with PRJ008 on a bad name."""
    if not COMPONENT_NAME.fullmatch(name):
        fail(
            "PRJ008", problem=f"'{name}' is not a component's name", hint="write family.kind, like acme.rows_extractor"
        )
    family, _, kind = name.partition(".")
    package = f"osiris_{family}_{kind}"
    words = {"name": name, "family": family, "package": package, "distribution": package.replace("_", "-")}
    target = folder or Path(words["distribution"])
    return {"dir": str(target), "files": lay_out("component", target, words)}


def lay_out(template: str, folder: Path, words: Mapping[str, str] | None = None) -> list[str]:
    """Copy a template, replacing `{{word}}` in names and texts; nothing that exists is overwritten."""
    files = [(source, folder / name) for source, name in _files(TEMPLATES / template, words or {})]
    taken = [target for _, target in files if target.exists() or target.is_symlink()]
    if (folder / MARKER).exists():
        fail("PRJ005", path=folder / MARKER)
    if taken:
        fail("PRJ014", path=taken[0])
    for source, target in files:
        _copy(source, target, words or {})
    return [target.relative_to(folder).as_posix() for _, target in files]


def _files(template: Path, words: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for source in sorted(template.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            parts = source.relative_to(template).parts
            yield source, "/".join(_named(part, words) for part in parts)


def _named(part: str, words: Mapping[str, str]) -> str:
    """Return a file's name: `dot-x` stands for `.x`, and a last `.in` keeps our own tools away from a template."""
    return _filled(part.removesuffix(".in"), words).replace("dot-", ".", 1 if part.startswith("dot-") else 0)


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def _copy(source: Path, target: Path, words: Mapping[str, str]) -> None:
    content = source.read_bytes()
    make_folder(target.parent, private=False)
    create_file(target, _filled(content.decode("utf-8"), words).encode("utf-8") if words else content)
