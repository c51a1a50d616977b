"""Writes files of a project: templates, editor settings, and pipelines in canonical form."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.api.pipelines import Validated, validate_file
from osiris.api.workspace import find_file, pipelines, shown
from osiris.durable import create_file, make_folder, write_file
from osiris.errors import Diagnostic, Location, OsirisError, diagnostic, fail, raise_all
from osiris.files import is_outside, resolve_path
from osiris.path_policy import MARKER
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.api.workspace import Workspace
    from osiris.model import JsonValue

TEMPLATES = Path(__file__).parents[1] / "templates"
COMPONENT_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")

SCHEMA_FILE = ".vscode/osiris.schema.json"
EXTENSION = "redhat.vscode-yaml"
SETTINGS: dict[str, JsonValue] = {
    ".vscode/settings.json": {
        "yaml.schemas": {f"./{SCHEMA_FILE}": [f"pipelines/**/*{ending}" for ending in PIPELINE_ENDINGS]},
    },
    ".vscode/extensions.json": {"recommendations": [EXTENSION]},
}
"""Project-wide files of VS Code, with the settings for pipelines."""

WRITABLE = 0o222
"""Write permission bits: a file with none of them is treated as read-only, even for root."""

_ENDINGS = PIPELINE_ENDINGS


def new_component(name: str, folder: Path | None = None) -> dict[str, JsonValue]:
    """Create a package with a new component; returns its folder and files. Fails with PRJ008 on an invalid name."""
    if not COMPONENT_NAME.fullmatch(name):
        hint = "write family.kind, for example acme.rows_extractor"
        fail("PRJ008", problem=f"'{name}' is not a component name", hint=hint)
    family, _, kind = name.partition(".")
    package = f"osiris_{family}_{kind}"
    words = {"name": name, "family": family, "package": package, "distribution": package.replace("_", "-")}
    target = folder or Path(words["distribution"])
    return {"dir": str(target), "files": lay_out("component", target, words)}


def lay_out(template: str, folder: Path, words: Mapping[str, str] | None = None) -> list[str]:
    """Copy a template (`init`, `demo` or `component`), replacing `{{word}}` in names and texts; returns the files.

    Never overwrites: fails with PRJ005 if the folder is already a project, PRJ014 if a file exists.
    """
    words = words or {}
    files = [(source, folder / name) for source, name in _files(TEMPLATES / template, words)]
    existing = [target for _, target in files if os.path.lexists(target)]
    if (folder / MARKER).exists():
        fail("PRJ005", path=folder / MARKER)
    if existing:
        fail("PRJ014", path=existing[0])
    for source, target in files:
        _copy(source, target, words)
    return [target.relative_to(folder).as_posix() for _, target in files]


def _files(template: Path, words: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    for source in sorted(template.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            parts = source.relative_to(template).parts
            yield source, "/".join(_named(part, words) for part in parts)


def _named(part: str, words: Mapping[str, str]) -> str:
    """Return a file's name: `dot-x` becomes `.x`; a final `.in`, which hides templates from our tools, is dropped."""
    return _filled(part.removesuffix(".in"), words).replace("dot-", ".", 1 if part.startswith("dot-") else 0)


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    return text


def _copy(source: Path, target: Path, words: Mapping[str, str]) -> None:
    content = source.read_bytes()
    make_folder(target.parent, private=False)
    create_file(target, _filled(content.decode("utf-8"), words).encode("utf-8") if words else content)


def pipeline_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema of pipelines, with the installed components."""
    from osiris.oml.editor import editor_schema
    from osiris.registry import load_registry

    return editor_schema(load_registry())


def wire_editor(folder: Path) -> tuple[list[str], list[Diagnostic]]:
    """Write the schema and settings for VS Code; returns the files written, and a note for each that existed."""
    files, notes = [], []
    contents = {SCHEMA_FILE: (pipeline_schema(), "run 'osiris schema --out {path}' to renew it")}
    contents |= {name: (value, f"add to it:  {json.dumps(value)[1:-1]}") for name, value in SETTINGS.items()}
    for name, (content, instead) in contents.items():
        if _put(folder / name, schema_text(content)):
            files.append(name)
        else:
            notes.append(diagnostic("PRJ015", path=name, instead=instead.replace("{path}", name)))
    return files, notes


def _put(path: Path, text: str) -> bool:
    """Write a new file; returns False if the path exists."""
    if os.path.lexists(path):
        return False
    make_folder(path.parent, private=False)
    create_file(path, text.encode("ascii"))
    return True


def schema_text(value: JsonValue) -> str:
    """Return deterministic, indented JSON."""
    return json.dumps(value, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class Formatted:
    """A file, its text before and in canonical form; both are empty if it was rejected."""

    file: str
    before: str = ""
    after: str = ""
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the text was not in canonical form."""
        return self.before != self.after

    def diff(self) -> list[str]:
        """Return the lines of a unified diff; a file with a literal secret is redacted."""
        from osiris.oml.parse import parse
        from osiris.secret import find_literal_secrets

        if not self.changed:
            return []
        try:
            has_secret = any(find_literal_secrets(parse(self.after, self.file).data))
        except OsirisError:
            return [f"{self.file}: the changes are not shown, as the rest of the file cannot be read yet"]
        if has_secret:
            return [f"{self.file} contains what looks like a secret and is not shown"]
        before, after = self.before.splitlines(), self.after.splitlines()
        return list(difflib.unified_diff(before, after, self.file, self.file, lineterm=""))


def format_text(text: str, file: str) -> str:
    """Return OML text in canonical form; raises InvalidInput with all problems of reading it."""
    from osiris.oml.layout import format_oml
    from osiris.registry import load_registry

    return format_oml(text, file, load_registry())


def format_files(workspace: Workspace, files: Sequence[str], *, write: bool) -> list[Formatted]:
    """Format files, by default all of `pipelines/`, each separately.

    With `write`, changed files are replaced atomically. Problems of a file are in its diagnostics; it is not changed.
    """
    paths = [find_file(workspace, file) for file in files] or pipelines(workspace)
    return [_formatted(workspace, path, write=write) for path in dict.fromkeys(paths)]


def _formatted(workspace: Workspace, path: Path, *, write: bool) -> Formatted:
    from osiris.document import load_text
    from osiris.oml.layout import format_oml

    name = shown(workspace, path)
    try:
        before = load_text(path, name)
        after = format_oml(before, name, workspace.registry)
        if write:
            _replace_text(workspace, path, before, after)
    except OsirisError as error:
        return Formatted(name, diagnostics=error.diagnostics)
    return Formatted(name, before, after)


def _replace_text(workspace: Workspace, path: Path, before: str, after: str) -> None:
    """Replace the text of a file atomically if it changes.

    Fails with DRV003 for a read-only file, as replacing it needs only its folder's permission, with PRJ021 for a link
    that leaves the project, and with PRJ020 if the file does not have the text `before` any more.
    """
    from osiris.document import load_text

    if before == after:
        return
    name, real = shown(workspace, path), path.resolve()
    if not is_outside(workspace.root, path.parent) and is_outside(workspace.root, path):
        fail("PRJ021", path=name)
    if not (path.stat().st_mode & WRITABLE and os.access(path, os.W_OK)):
        fail("DRV003", path=name, reason="it is read-only")
    if load_text(path, name) != before:
        fail("PRJ020", path=name)
    write_file(real, after.encode(), private=False)


@dataclass(frozen=True, slots=True)
class Corrected:
    """A file with its certain corrections: the texts, and its validation before and after them."""

    text: Formatted
    before: Validated
    after: Validated


def correct_files(
    workspace: Workspace, files: Sequence[str], *, params: Mapping[str, str], write: bool
) -> list[Corrected]:
    """Correct what is certain in files, by default all of `pipelines/`, each separately.

    A correction is the fix of a diagnostic; they are applied one by one until none is left. With `write`, changed files
    are replaced atomically; a file that cannot be replaced has the reason in `after`.
    """
    paths = [find_file(workspace, file) for file in files] or pipelines(workspace)
    return [_corrected(workspace, path, params, write=write) for path in dict.fromkeys(paths)]


def _corrected(workspace: Workspace, path: Path, params: Mapping[str, str], *, write: bool) -> Corrected:
    from osiris.document import load_text

    name = shown(workspace, path)
    try:
        original = load_text(path, name)
    except OsirisError as error:
        unread = Validated(name, error.diagnostics)
        return Corrected(Formatted(name), unread, unread)
    before = validate_file(workspace, path, params=params, text=original)
    fixed, after = _with_fixes(workspace, path, params, original, before)
    try:
        if write:
            _replace_text(workspace, path, original, fixed)
    except OsirisError as error:
        return Corrected(Formatted(name), before, Validated(name, (*before.diagnostics, *error.diagnostics)))
    return Corrected(Formatted(name, original, fixed), before, after)


def _with_fixes(
    workspace: Workspace, path: Path, params: Mapping[str, str], text: str, checked: Validated
) -> tuple[str, Validated]:
    """Return a text after all fixes that apply to it, and its validation."""
    seen = {text}
    while (fixed := _with_first_fix(text, checked)) is not None and fixed not in seen:
        seen.add(fixed)
        text, checked = fixed, validate_file(workspace, path, params=params, text=fixed)
    return text, checked


def _with_first_fix(text: str, checked: Validated) -> str | None:
    """Return a text with the first fix that applies to it; None if there is none."""
    from osiris.oml.fix import apply_fix

    for each in checked.diagnostics:
        if each.fix and each.location.file == checked.file:
            with suppress(LookupError):
                return apply_fix(text, each)
    return None


def unformatted(results: Sequence[Formatted]) -> list[Diagnostic]:
    """Return OML033 for each file that is not in canonical form."""
    return [diagnostic("OML033", at=Location(each.file)) for each in results if each.changed]


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved pipeline: the file as displayed, its SHA-256, `saved`, `unchanged` or `replaced`, and its validation."""

    file: str
    digest: str
    state: str
    checked: Validated

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as JSON, without diagnostics."""
        return {"file": self.file, "digest": self.digest, "state": self.state, "name": self.checked.name}


def save_draft(workspace: Workspace, text: str, file: str, *, replaces: str | None = None) -> Saved:
    """Save valid OML text below pipelines/ or output/, atomically.

    An existing different file is replaced only if `replaces` is its SHA-256 (MCP003). Fails as `draft_path`, and with
    all problems of the text.
    """
    path = draft_path(workspace, file)
    checked = validate_file(workspace, path, params={}, text=text)
    if not checked.ok:
        raise_all(checked.diagnostics)
    content = text.encode()
    before = read_draft(path)
    digest = hashlib.sha256(content).hexdigest()
    if before is not None and before not in (digest, replaces):
        fail("MCP003", path=shown(workspace, path), digest=before)
    if before != digest:
        make_folder(path.parent, private=False)
        write_file(path, content, private=False)
    state = "saved" if before is None else "unchanged" if before == digest else "replaced"
    return Saved(shown(workspace, path), digest, state, checked)


def read_draft(path: Path) -> str | None:
    """Return the SHA-256 of a file; None if it does not exist."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        fail("PRJ006", path=path.name, reason=error.strerror or type(error).__name__)


def draft_path(workspace: Workspace, file: str) -> Path:
    """Return the path of a pipeline to be saved; fails with PRJ022 if it is no YAML file in pipelines/ or output/."""
    path = resolve_path(workspace.root, file, writing=True)
    folders = (workspace.project.pipelines, workspace.project.output)
    here = next((folder for folder in folders if path.is_relative_to(folder) and path != folder), None)
    # A folder that is itself a link leads out of the project, too.
    if here is None or here.is_symlink() or is_outside(here, path) or path.suffix not in _ENDINGS or path.is_symlink():
        fail("PRJ022", path=file)
    return path
