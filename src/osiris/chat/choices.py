"""What may be chosen: discovered tables, and the writers and connections of the project.

A request can only name what is listed here, so neither a model nor a text that it read can bring in anything else.
Names, comments and values come from sources (`environment`: `names` and `look`) and are untrusted wherever they are
shown. Names that cannot be shown on one line, or are too long, are left out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from osiris.model import JsonValue

    JsonObject = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type as steps read it (None if no step can), and its profile from discovery."""

    name: str
    type: str | None
    nullable: bool = True
    comment: str | None = None
    profile: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns that refer to those of another relation, under the name that its source gives it."""

    columns: tuple[str, ...]
    table: str
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a file that can be read.

    `id` is unique among the choices (`@sqlite.shop/orders`, `data/flights.parquet`); `name` is the id of the step that
    reads it and its name in SQL, also unique; `step` has its component and config. `columns` is None until the relation
    is discovered; `rows` is an estimate, None if unknown. `samples` are some rows as lists, in column order, if the
    person allowed rows to be shown.
    """

    id: str
    name: str
    source: str
    table: str
    step: Mapping[str, JsonValue]
    columns: tuple[Column, ...] | None = None
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    rows: int | None = None
    comment: str | None = None
    samples: tuple[JsonValue, ...] = ()

    @property
    def connection(self) -> str | None:
        """Reference of the connection that reads it, None for files."""
        return self.source if self.source.startswith("@") else None

    @property
    def names(self) -> list[str]:
        """Names of the discovered columns."""
        return [each.name for each in self.columns or ()]

    @property
    def types(self) -> dict[str, str]:
        """Types of the discovered columns that a step can read, by name."""
        return {each.name: each.type for each in self.columns or () if each.type}


@dataclass(frozen=True, slots=True)
class Writer:
    """A component that writes: to a file (`ending` is that of its files) or to a table of one of its `connections`."""

    component: str
    ending: str | None
    modes: tuple[str, ...]
    connections: tuple[str, ...] = ()

    @property
    def makes_files(self) -> bool:
        """Tell whether its target is a path; else it is a table."""
        return self.ending is not None


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything that may be chosen; `silent` are the sources that did not answer, each with its diagnostic as JSON.

    The rest is context for a model: the date (ISO 8601), the project's conventions, the components of these relations
    and writers (as `prompts.component_document` returns them), and existing pipelines.
    """

    relations: tuple[Relation, ...]
    writers: tuple[Writer, ...]
    silent: Mapping[str, JsonValue] = field(default_factory=dict)
    today: str | None = None
    conventions: str | None = None
    components: tuple[JsonValue, ...] = ()
    earlier: tuple[JsonValue, ...] = ()

    def relation(self, name: str) -> Relation | None:
        """Return the relation of that id; None if there is none."""
        return next((each for each in self.relations if each.id == name), None)

    def writer(self, component: str) -> Writer | None:
        """Return the writer of that component; None if there is none."""
        return next((each for each in self.writers if each.component == component), None)


LONGEST_NAME = 200
COMMENT = 300

_LOOKAHEAD = 20
"""At most so many times the shown length of a text is examined."""

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default
deferrable desc describe distinct do else end except false fetch for foreign from group having in initially
intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing
primary qualify references returning select show some summarize symmetric table then to trailing true union unique
unpivot using variadic when where window with df input_df transform save
"""
RESERVED = frozenset(_WORDS.split())
"""Words reserved by SQL or by rendered pipelines."""


_TABLE = re.compile(r"(@[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)\.(.+)", re.DOTALL)


def with_slash(text: str) -> str:
    """Return `@FAMILY.ALIAS.TABLE` as `@FAMILY.ALIAS/TABLE`; any other text as it is."""
    match = _TABLE.fullmatch(text)
    return f"{match[1]}/{match[2]}" if match else text


def read_names(answer: JsonObject) -> Choices:
    """Return the choices; columns are set where discovery returned them unasked."""
    relations: dict[str, Relation] = {}
    for source in answer["sources"]:
        for table in source["tables"]:
            relation = _relation(source, table, {each.name for each in relations.values()})
            if relation and relation.id not in relations:
                relations[relation.id] = relation
    writers = tuple(
        Writer(each["component"], each["ending"], tuple(each["modes"]), tuple(each["connections"]))
        for each in answer["writers"]
    )
    today, conventions = answer.get("today"), answer.get("conventions")
    components, earlier = (tuple(answer.get(key, ())) for key in ("components", "earlier"))
    return Choices(tuple(relations.values()), writers, dict(answer["silent"]), today, conventions, components, earlier)


def with_profiles(choices: Choices, answer: JsonObject) -> Choices:
    """Return the choices with the columns, keys and profiles that discovery returned."""
    tables = answer["tables"]
    relations = (_detailed(each, tables[each.id]) if each.id in tables else each for each in choices.relations)
    return replace(choices, relations=tuple(relations), silent={**choices.silent, **answer["silent"]})


def one_line(text: str, most: int) -> str:
    """Return untrusted text for display: one line, without invisible characters, cut off at `most` characters."""
    head = text[: most * _LOOKAHEAD]
    visible = "".join(" " if char.isspace() else char for char in head if char.isspace() or is_visible(char))
    short = " ".join(visible.split())
    return short if len(short) <= most else short[: most - 1] + "…"


def plain_name(name: str) -> str:
    """Return an untrusted name for a sentence: in quotation marks unless it is a plain one.

    Letters that resemble those of another alphabet are escaped.
    """
    line = one_line(name, COMMENT)
    if re.fullmatch(r"[A-Za-z0-9_@./+-]*[A-Za-z0-9_]", line):
        return line
    is_mixed = re.search("[A-Za-z]", line) is not None
    quoted = json.dumps(line, ensure_ascii=False)
    return "".join(json.dumps(char)[1:-1] if _is_lookalike(char, is_mixed=is_mixed) else char for char in quoted)


def _is_lookalike(char: str, *, is_mixed: bool) -> bool:
    if char.isascii() or char == "…":
        return False
    is_foreign = is_mixed and char.isalpha() and not unicodedata.name(char, "").startswith("LATIN ")
    return is_foreign or unicodedata.normalize("NFKC", char) != char


def _relation(source: JsonObject, table: JsonObject, taken: Collection[str]) -> Relation | None:
    name, step = table["name"], table["step"]
    if not step or not _is_showable(name) or name.rpartition(".")[2].lower().startswith("_osiris_"):
        return None
    reference = source["connection"]
    relation = Relation(
        id=f"{reference}/{name}" if reference else name,
        name=_step_name(name, reference, taken),
        source=reference or source["target"],
        table=name,
        step=step,
    )
    return _detailed(relation, table)


def _detailed(relation: Relation, table: JsonObject) -> Relation:
    keys = (ForeignKey(tuple(k["columns"]), k["table"], tuple(k["to"])) for k in table["foreign_keys"])
    comment = table["comment"]
    columns = None if table["columns"] is None else tuple(_columns(table))
    sampled = ((table["profile"] or {}).get("samples") or {}).get("rows", ())
    return replace(
        relation,
        columns=columns,
        primary_key=tuple(table["primary_key"]),
        foreign_keys=tuple(keys),
        rows=table["rows"],
        comment=one_line(comment, COMMENT) if comment else None,
        samples=tuple(row for row in sampled if len(row) == len(columns or ())),
    )


def _columns(table: JsonObject) -> Iterator[Column]:
    profiles = (table["profile"] or {}).get("columns", {})
    for column in table["columns"]:
        name, comment = column["name"], column["comment"]
        if not _is_showable(name) or name in table["closed"]:
            continue
        text = one_line(comment, COMMENT) if comment else None
        yield Column(name, column["type"], column["nullable"], text, profiles.get(name) or {})


def _step_name(table: str, reference: str | None, taken: Collection[str]) -> str:
    """Return a name that SQL takes without quotes: the table's, if taken then with its alias or a number."""
    last = table.rpartition("/")[2].split(".", 1)[0] if reference is None else table.rpartition(".")[2]
    plain = _safe(last)
    alias = _safe(reference.partition(".")[2] or reference[1:]) if reference else "file"
    numbered = (f"{plain[:50]}_{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (plain, f"{alias}_{plain}"[:60], *numbered) if name not in taken)


def _safe(text: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60]
    fits = words and words[0].isalpha() and words not in RESERVED and not words.startswith("df_")
    return words if fits else f"t_{words}".rstrip("_")


def _is_showable(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and all(map(is_visible, name))


def is_visible(char: str) -> bool:
    """Tell whether a character is visible and does not affect text layout."""
    return unicodedata.category(char) not in _INVISIBLE
