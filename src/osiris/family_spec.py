"""Installed components and families, and the specs of families in family.yaml.

A component is registered in the entry-point group `osiris.components`, a family in `osiris.families`: by its name, and
the dotted name of a package with a file `family.yaml`, or of a module `parent.family` with the file `family.yaml` in
the folder of `parent`. A family of a SQL database may name its object, `package.module:OBJECT`; the package has the
file. Finding them does not import their code; files are read on first use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.distribution import installed_entries
from osiris.errors import InvalidInput, OsirisError, diagnostic, raise_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    from osiris.model import JsonValue

COMPONENTS = "osiris.components"
FAMILIES = "osiris.families"

_USUAL_FILE_FIELDS = ("path", "database", "file")


@dataclass(frozen=True, slots=True)
class FamilySpec:
    """The spec of a family; `fields` is the JSON Schema object of a connection.

    The rest is optional. The target of its connections is one of:
    - `local_files`: files on this machine.
    - `scheme`: objects of a store, whose URLs begin with this scheme.
    - `file_fields`: a database file, named by one of these fields.
    - `port`: a server, with this default port.
    - `protocol_of`: databases of another family; `wire_fields` in the family's module `connect` converts a connection
      to that family. Only connections with one of `database_fields` lead to a database.

    `folds_case`: names of tables and columns are case-insensitive, or may be by a setting of the server. `aliases` are
    other names of the family, and `spoken` those that refer to its only connection in a sentence. `openlineage` has the
    `namespace` of its datasets, the prefix of a table's `name`, and the default `schema`; they are templates over the
    fields of a connection.
    """

    name: str
    title: str
    fields: Mapping[str, JsonValue]
    local_files: bool = False
    scheme: str = ""
    file_fields: Sequence[str] = ()
    port: int = 0
    protocol_of: str = ""
    database_fields: Sequence[str] = ()
    folds_case: bool = False
    aliases: Sequence[str] = ()
    spoken: Sequence[str] = ()
    openlineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        """Whether connections use only files on this machine."""
        return self.local_files or bool(self.file_fields)

    @property
    def may_name_file(self) -> Sequence[str]:
        """The fields that may name a database file; the usual ones for a family without any target."""
        stated = self.local_files or self.scheme or self.port
        return self.file_fields or (() if stated else _USUAL_FILE_FIELDS)

    def fold(self, name: str) -> str:
        """Return a name in lower case if names are case-insensitive, else unchanged."""
        return name.lower() if self.folds_case else name

    def schema_of(self, connection: Mapping[str, JsonValue]) -> str:
        """Return the schema of a table that names none, by the fields of a connection; empty without schemas."""
        own = self.openlineage.get("schema", "").format_map({"database": "", **connection})
        return str(connection.get("schema") or own)

    def leads_to_database(self, connection: Mapping[str, JsonValue]) -> bool:
        """Return whether a connection leads to a database, not to another interface of the family."""
        return not self.database_fields or any(connection.get(name) is not None for name in self.database_fields)


UNKNOWN = FamilySpec("", "", {})
"""The spec of an unknown family."""

_STATED = {each.name: str(each.type) for each in fields(FamilySpec) if each.name not in ("name", "title", "fields")}
_TYPES: Mapping[str, type] = {"bool": bool, "str": str, "int": int, "Sequence[str]": list, "Mapping[str, str]": dict}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry point; two with the same name conflict (`rival`) unless they name the same module."""

    name: str
    target: str
    owner: str
    rival: str | None = None


class Families:
    """The registered families, each read on first use."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = by_name(entries)
        self._read = cache(lambda name: _read_family(self._entries[name]))

    def names(self) -> list[str]:
        """Return the names of all families, sorted."""
        return sorted(self._entries)

    def get(self, name: str) -> FamilySpec | None:
        """Return the spec of a family; None if it is not registered. Fails with REG001 for an invalid file."""
        return self._read(name) if name in self._entries else None

    def target(self, name: str) -> str | None:
        """Return the entry-point value of a family; None if it is not registered."""
        return self._entries[name].target if name in self._entries else None

    @cached_property
    def stores(self) -> Mapping[str, str]:
        """The names of families of object stores, by URL scheme."""
        stores: dict[str, str] = {}
        for spec in self.readable():
            if spec.scheme:
                stores.setdefault(spec.scheme, spec.name)
        return stores

    def readable(self) -> Iterator[FamilySpec]:
        """Yield all families with a valid file, by title."""
        specs = filter(None, map(self.find, self.names()))
        yield from sorted(specs, key=attrgetter("title", "name"))

    def find(self, name: str) -> FamilySpec | None:
        """Return the spec of a family; None if it is not registered or its file is invalid."""
        try:
            return self.get(name)
        except OsirisError:
            return None


def find_family(name: str) -> FamilySpec:
    """Return the spec of an installed family; `UNKNOWN` if there is none with a valid file."""
    return installed_families().find(name) or UNKNOWN


def family_of_connection(reference: str | None) -> FamilySpec:
    """Return the family of a connection `@family.alias`; `UNKNOWN` for None, and if it is not installed."""
    return find_family((reference or "").removeprefix("@").partition(".")[0])


def store_families() -> Mapping[str, str]:
    """Return the names of families of object stores, by URL scheme."""
    return installed_families().stores


def files_family() -> str:
    """Return the name of the family of local files, which need no connection."""
    return next((spec.name for spec in all_families() if spec.local_files), "")


def all_families() -> Sequence[FamilySpec]:
    """Return all installed families with a valid file, by title."""
    return tuple(installed_families().readable())


def family_function(family: str, what: str, name: str) -> Any:  # noqa: ANN401  a function, of whatever kind
    """Return a function of a family: of the object named by its entry point, or of its module `what`; None if missing.

    See `family_module` for modules.
    """
    module, _, attribute = (installed_families().target(family) or "").partition(":")
    owner = getattr(importlib.import_module(module), attribute) if attribute else family_module(family, what)
    return getattr(owner, name, None)


def family_module(family: str, what: str) -> ModuleType | None:
    """Return a module of a family: `what` in its package, or `<module>_<what>` beside it; None if there is none.

    Families that are only a file `<family>.yaml` in a package share its modules, as the stores do.
    """
    target = (installed_families().target(family) or "").partition(":")[0]
    spec = importlib.util.find_spec(target) if target else None
    if target and spec is None:
        target = target.rpartition(".")[0]
        spec = importlib.util.find_spec(target) if target else None
    if spec is None:
        return None
    name = f"{target}.{what}" if spec.submodule_search_locations else f"{target}_{what}"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


_current: dict[tuple[str, ...], Families] = {}
"""The installed families, by the value of `sys.path`."""


def installed_families(entries: Iterable[Entry] | None = None) -> Families:
    """Return the installed families: those of the given entries, else the cached ones."""
    path = tuple(sys.path)
    families = _current.get(path) if entries is None else None
    if families is None:
        families = Families(entries_of(FAMILIES)[0] if entries is None else entries)
        _current.clear()
        _current[path] = families
    return families


def entries_of(*groups: str) -> list[list[Entry]]:
    """Return the entry points of each group; reads each distribution's list once."""
    by_group: dict[str, list[Entry]] = {group: [] for group in groups}
    for group, name, target, owner in installed_entries(groups):
        by_group[group].append(Entry(name, target, owner or "an unknown distribution"))
    return list(by_group.values())


def by_name(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return entries by name, with a `rival` if another distribution registers the name for another module."""
    table: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.name, e.owner, e.target)):
        first = table.setdefault(entry.name, entry)
        if first.target != entry.target:
            table[entry.name] = Entry(first.name, first.target, first.owner, rival=entry.owner)
    return table


def package_folder(dotted: str) -> Path | None:
    """Return the folder of a package without importing it or its parents; None if there is none."""
    top, *rest = dotted.split(".")
    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_spec"))
    module = next((spec for finder in finders if (spec := finder.find_spec(top, None))), None)
    places = module.submodule_search_locations if module else None
    return next((folder for place in places or () if (folder := Path(place, *rest)).is_dir()), None)


def read_yaml(entry: Entry, folder: Path | None, name: str) -> tuple[Any, str | None]:
    """Return the content of a YAML file, and its problem or None."""
    from osiris.document import load_text, read_document

    if folder is None:
        return None, f"{entry.owner} registers it as '{entry.target}', which is not a package"
    try:
        return read_document(load_text(folder / name, name), name).data, None
    except InvalidInput as error:
        first = error.diagnostics[0]
        place = f"line {first.location.line}: " if first.location.line else ""
        return None, f"its {name} cannot be read: {place}{first.message}"


def _read_family(entry: Entry) -> FamilySpec:
    module, _, attribute = entry.target.partition(":")
    parent, _, last = module.rpartition(".")
    own = package_folder(module)
    folder, name = (own, "family.yaml") if own else (package_folder(parent), f"{last}.yaml")
    if attribute:
        name = "family.yaml"
    document, problem = read_yaml(entry, folder, name)
    if problem := problem or _problem(entry.name, document):
        raise_all([diagnostic("REG001", name=entry.name, problem=problem)])
    stated = {key: document[key] for key in _STATED if key in document}
    return FamilySpec(entry.name, str(document.get("title", entry.name)), document["fields"], **stated)


def _problem(name: str, document: JsonValue) -> str | None:
    """Return the problem of a family's document; None if it is valid."""
    if not (isinstance(document, dict) and isinstance(document.get("fields"), dict)):
        return "it must be a mapping with name, title and fields"
    if document.get("name") != name:
        return f"it is registered as '{name}' and calls itself '{document.get('name')}'"
    wrong = (key for key, kind in _STATED.items() if not isinstance(document.get(key, _TYPES[kind]()), _TYPES[kind]))
    return next((f"'{key}' is of the wrong type" for key in wrong), None)
