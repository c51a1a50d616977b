"""What a project has that a pipeline may read or write, or be like: sources, data files, writers, earlier pipelines."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from osiris import api
from osiris.chat.choices import one_line, read_names
from osiris.chat.request import MODES
from osiris.document import load_text, read_document
from osiris.errors import OsirisError
from osiris.files import is_text
from osiris.project import PIPELINE_ENDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from osiris.api import Workspace
    from osiris.chat.choices import Choices
    from osiris.model import ComponentSpec, JsonValue


def choices_for(workspace: Workspace, tables: Iterable[str]) -> Choices:
    """Return the choices for paths and `@FAMILY.ALIAS/TABLE`, beside them the names that are near; fails as they do.

    What is neither is taken for the name of one of the others.
    """
    wanted: dict[str, list[str]] = {}
    for text in tables:
        if source := target_of(workspace.root, text):
            wanted.setdefault(source, []).append(text.partition("/")[2] if text.startswith("@") else text)
    sources = [source_of(_discovered(workspace, source, names)) for source, names in wanted.items()]
    return read_names({"sources": sources, "writers": writers_of(workspace), "silent": {}})


def target_of(root: Path, text: str) -> str | None:
    """Return what is looked at for a path or `@FAMILY.ALIAS/TABLE`: of a path that is not there, what is beside it."""
    if text.startswith("@"):
        return text.partition("/")[0]
    if any(char in text for char in "*?[") or (root / text).exists():
        return text
    return f"{text.rpartition('/')[0]}/*" if "/" in text else None


def _discovered(workspace: Workspace, source: str, names: list[str]) -> JsonValue:
    """Return what discovery tells of a source, with the columns of the tables that are named, in whatever case."""
    found = api.discover(workspace, source).to_json()
    folded = {name.casefold() for name in names}
    near = [each["name"] for each in found["tables"] if each["name"].casefold() in folded and each["columns"] is None]
    if near:
        looked = {each["name"]: each for each in api.discover(workspace, source, near).to_json()["tables"]}
        found["tables"] = [looked.get(each["name"], each) for each in found["tables"]]
    return found


_DATA = re.compile(r"\w\.(csv|tsv|json|jsonl|ndjson|parquet|pq)(\.gz|\.zst)?$", re.IGNORECASE)
_MOST_FOLDERS = 50


def references(workspace: Workspace) -> list[str]:
    """Return the declared connections."""
    declared = workspace.connections().declared
    return [f"@{family}.{alias}" for family, aliases in sorted(declared.items()) for alias in sorted(aliases)]


def data_folders(workspace: Workspace) -> list[str]:
    """Return a pattern for each folder of the project that has data files; what Osiris itself writes is none."""
    own = {workspace.project.logs, workspace.project.build, workspace.project.output}
    found = sorted(islice(_with_data(workspace.root, own), _MOST_FOLDERS))
    return ["*" if folder == "." else f"{folder}/*" for folder in found]


def data_files(root: Path, folder: str) -> list[str]:
    """Return the data files that a pattern of `data_folders` has, by their names alone."""
    return sorted(each.relative_to(root).as_posix() for each in root.glob(folder) if _is_data(each.name))


def paths_in(words: str, root: Path) -> list[str]:
    """Return the paths and patterns in the person's words under which there is something."""
    told = dict.fromkeys(re.findall(r"[^\s\"'`,;()@]+", words))
    tokens = [token.rstrip(".:!?") for token in told]
    return [token for token in tokens if ("/" in token or _is_data(token)) and _is_there(root, token)]


def source_of(data: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a source as `names` tells it, from what discovery does."""
    source = data["source"]
    target = source["connection"] or source["target"]
    told = {key: data[key] for key in ("recalled", "tables")}
    return {"target": target, "connection": source["connection"], **told}


def writers_of(workspace: Workspace) -> list[dict[str, JsonValue]]:
    """Return what can be written, as `names` has it."""
    connections = references(workspace)
    found = (_writer(spec, connections) for spec in workspace.registry.all() if "write" in spec.modes)
    return list(filter(None, found))


def _writer(spec: ComponentSpec, connections: Sequence[str]) -> dict[str, JsonValue] | None:
    """Return a component that writes files without a connection, or tables of those that are declared; else None."""
    properties = spec.config["properties"]
    told: dict[str, JsonValue] = {"component": spec.name, "ending": None, "modes": [], "connections": []}
    if "path" in properties and spec.connection != "required" and (ending := _ending(spec)):
        return {**told, "ending": ending}
    own = [name for name in connections if name.startswith(f"@{spec.family}.")]
    if "table" not in properties or not own:
        return None
    offered = properties.get("write_mode", {}).get("enum", ())
    return {**told, "modes": [mode for mode in MODES if mode in offered], "connections": own}


def _ending(spec: ComponentSpec) -> str | None:
    """Return the ending of a component's files, as its first example has it."""
    paths = (example["config"].get("path") for example in spec.examples)
    return next((PurePosixPath(path).suffix[1:] for path in paths if path), None)


MOST = 10
_LARGEST = 50_000
_TEXT = 120


def earlier_pipelines(workspace: Workspace) -> Iterator[dict[str, JsonValue]]:
    """Yield what the newest pipelines of the project read and write; a file that is none is passed over.

    Their descriptions may be a person's sentences, which are nobody else's business. Folders below are not searched:
    `output` has data, of any depth.
    """
    folders = (workspace.project.pipelines, workspace.project.output)
    found = [path for folder in folders for path in folder.glob("*") if path.suffix in PIPELINE_ENDINGS]
    read = (_pipeline(path) for path in sorted(found, key=_changed, reverse=True))
    yield from islice(filter(None, read), MOST)


def _changed(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, str(path)
    except OSError:
        return 0.0, str(path)


def _pipeline(path: Path) -> dict[str, JsonValue] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        data = read_document(load_text(path, path.name), path.name).data
        steps = {mode: [step for step in data["steps"] if step["mode"] == mode] for mode in ("read", "write")}
        return {
            "name": one_line(data["name"], _TEXT),
            "reads": [_label(step["config"]) for step in steps["read"]],
            "writes": [_label(step["config"]) for step in steps["write"]],
        }
    except (OSError, OsirisError, KeyError, TypeError, AttributeError):
        return None


def _label(config: Mapping[str, JsonValue]) -> str:
    """Return what a step reads or writes: a path, or a table with its connection and mode."""
    if path := config.get("path"):
        return one_line(str(path), _TEXT)
    mode = f", {config['write_mode']}" if "write_mode" in config else ""
    return one_line(f"{config.get('connection', '')}/{config.get('table', 'a query')}{mode}", _TEXT)


def _with_data(root: Path, without: set[Path]) -> Iterator[str]:
    """Yield the folders that have data files, the nearest to the root first."""
    waiting = [root]
    for folder in waiting:
        try:
            inside = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
        except OSError:
            continue
        waiting += [each for each in inside if _is_folder(each) and each not in without]
        if any(_is_data(each.name) for each in inside):
            yield folder.relative_to(root).as_posix()


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and is_text(path.name)


def _is_data(name: str) -> bool:
    return _DATA.search(name) is not None


def _is_there(root: Path, token: str) -> bool:
    try:
        return (root / token).is_file() or any(root.glob(token))
    except (OSError, ValueError, NotImplementedError):
        return False
