"""What is proposed, as a typed object whose choices are enumerations: all that a model fills in, and nothing else.

    {"tables": [relation id…], "question": null, "cannot": null}                                    for `intent`
    {"name": "…", "sources": [{"relation": id, "columns": […] | null}], "sql": "SELECT …" | null,
     "target": {"component": …, "connection": … | null, "path": … | null, "table": … | null,
                "mode": … | null, "key": […]}, "assumptions": ["…"], "question": null, "cannot": null}   else

`question` is {"about": key, "text": …, "choices": [text…]}: with it, or with `cannot` (why nothing can be proposed),
the rest is not looked at. `sql` is one DuckDB SELECT over the names of the sources; without it there is one source, and
its rows are copied. A file without a path gets `output/<name>.<ending>`; it is always written anew, so it has no mode.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from osiris.chat.found import one_line
from osiris.document import escape
from osiris.errors import Location, diagnostic, did_you_mean, raise_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jsonschema import ValidationError

    from osiris.chat.choices import Choices, Relation, Writer
    from osiris.chat.port import Purpose
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

    Given = Mapping[str, JsonValue]

NAME = "^[a-z][a-z0-9_]{0,59}$"
MODES = ("append", "replace", "upsert")
LONGEST_SQL = 20_000
LONGEST_SAID = 500
"""Characters of a question, a reason or an assumption; what is longer is cut off."""

LONGEST_CHOICE = 120
"""Characters of a choice: who picks it by its number must have read it, for it counts as the person's words."""

_MOST_SAID = 10
_MOST_PROBLEMS = 20
_ENUMERATED = 250
"""Of more relations than these the schema lists none, for services limit it; `read` knows them all the same."""

_UNWRITABLE = re.compile(r"[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What a pipeline's text cannot hold as it is."""


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only the person can decide; `choices` may be empty, and any other reply is as good."""

    about: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A relation that is read; of its columns all, or these."""

    relation: str
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows go: a path, or a table of a connection.

    `mode` is append, replace or upsert (by the columns of `key`), and None for files.
    """

    component: str
    connection: str | None = None
    path: str | None = None
    table: str | None = None
    mode: str | None = None
    key: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pipeline that is proposed, and what was assumed for it."""

    name: str
    sources: tuple[Source, ...]
    sql: str | None
    target: Target
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interest:
    """The relations that matter, by id."""

    tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing can be proposed, in words for the person."""

    reason: str


def schema(purpose: Purpose, choices: Choices) -> dict[str, JsonValue]:
    """Return the JSON Schema of an answer; all that can be chosen is an enumeration.

    It keeps to what the strict modes of services take: every property is required, and nothing else is allowed.
    """
    relations = _one_of([each.id for each in choices.relations][: _ENUMERATED + 1])
    if len(choices.relations) > _ENUMERATED:
        relations = {"type": "string"}
    said = {"question": _or_null(_object(about=_TEXT, text=_TEXT, choices=_list(_TEXT))), "cannot": _or_null(_TEXT)}
    if purpose == "intent":
        return _object(tables=_list(relations), **said)
    connections = sorted({name for writer in choices.writers for name in writer.connections})
    target = _object(
        component=_one_of([writer.component for writer in choices.writers]),
        connection=_or_null(_one_of(connections)),
        path=_or_null(_TEXT),
        table=_or_null(_TEXT),
        mode=_or_null(_one_of(MODES)),
        key=_list(_TEXT),
    )
    source = _object(relation=relations, columns=_or_null(_list(_TEXT)))
    return _object(
        name=_TEXT,
        sources=_list(source),
        sql=_or_null(_TEXT),
        target=_or_null(target),
        assumptions=_list(_TEXT),
        **said,
    )


def read(purpose: Purpose, value: JsonValue, choices: Choices) -> Interest | Proposal | Question | Refusal:
    """Return what an answer says; fails with CHT001 for each of the first problems in it, with its pointer."""
    said = said_in(value) if isinstance(value, dict) else None
    if said:
        return said
    _refuse(_misshapen(value, schema(purpose, choices)))
    if purpose == "intent":
        _refuse(_unknown(value["tables"], "/tables/{}", choices))
        return Interest(tuple(dict.fromkeys(value["tables"])))
    _refuse(_wrong(value, choices))
    return _proposal(value, choices)


_TEXT: Given = {"type": "string"}


def _object(**properties: Given) -> dict[str, JsonValue]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Given) -> dict[str, JsonValue]:
    return {"type": "array", "items": items}


def _one_of(values: Sequence[str]) -> dict[str, JsonValue]:
    """Return the schema of one of some texts; of none at all there is nothing to choose."""
    return {"type": "string", "enum": list(values)} if values else {"type": "null"}


def _or_null(inner: Given) -> dict[str, JsonValue]:
    return {"type": "null"} if inner == {"type": "null"} else {"anyOf": [inner, {"type": "null"}]}


def said_in(value: Given) -> Question | Refusal | None:
    """Return the question or the refusal of an answer; None if it has none that can be read."""
    asked, cannot = value.get("question"), value.get("cannot")
    if isinstance(cannot, str) and cannot.strip():
        return Refusal(one_line(cannot, LONGEST_SAID))
    if not isinstance(asked, dict) or not isinstance(asked.get("text"), str) or not asked["text"].strip():
        return None
    about, offered = asked.get("about"), asked.get("choices")
    texts = [each for each in offered if isinstance(each, str) and each.strip()] if isinstance(offered, list) else []
    choices = tuple(one_line(each, LONGEST_CHOICE) for each in texts[:_MOST_SAID])
    return Question(one_line(str(about or "question"), 60), one_line(asked["text"], LONGEST_SAID), choices)


def _refuse(problems: Iterator[Diagnostic]) -> None:
    if found := list(islice(problems, _MOST_PROBLEMS)):
        raise_all(found)


def _near(name: str, known: Iterable[str]) -> str | None:
    return did_you_mean(name[:LONGEST_CHOICE], known)


def _problem(pointer: str, problem: str, hint: str | None = None) -> Diagnostic:
    return diagnostic("CHT001", at=Location(pointer=pointer), problem=f"'{pointer}' {problem}", hint=hint)


def _misshapen(value: JsonValue, expected: Given) -> Iterator[Diagnostic]:
    from jsonschema import Draft202012Validator

    for error in _innermost(Draft202012Validator(expected).iter_errors(value)):
        pointer = "".join(f"/{escape(str(part))}" for part in error.absolute_path)
        allowed: JsonValue = error.validator_value
        if error.validator == "enum":
            yield _problem(pointer, "is not among the choices", _near(str(error.instance), allowed))
        elif error.validator in ("required", "additionalProperties"):
            wanted = ", ".join(expected["properties"]) if not pointer else "those of the schema"
            yield _problem(pointer, "has other properties than it must", f"exactly {wanted}")
        else:
            yield _problem(pointer, f"does not fit the schema ({error.validator})")


def _innermost(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Yield errors; of what may be null as well, those of what it is otherwise."""
    for error in errors:
        if error.validator == "anyOf":
            yield from _innermost(inner for inner in error.context if inner.relative_schema_path[0] == 0)
        else:
            yield error


def _unknown(names: Sequence[str], pointer: str, choices: Choices) -> Iterator[Diagnostic]:
    for number, name in enumerate(names):
        if choices.relation(name) is None:
            hint = _near(name, [each.id for each in choices.relations])
            yield _problem(pointer.format(number), "is not among the choices", hint)


def _wrong(value: Given, choices: Choices) -> Iterator[Diagnostic]:
    """Yield what is wrong with a proposal whose shape is right."""
    if not re.fullmatch(NAME, value["name"]):
        yield _problem("/name", "is no name", "lower-case letters, digits and _, a letter first, at most 60")
    yield from _wrong_sources(value["sources"], choices)
    sql = _unix(value["sql"])
    if sql is None and len(value["sources"]) > 1:
        yield _problem("/sql", "is missing: only the rows of one source can be copied", "give one SELECT")
    if sql is not None and (not sql.strip() or len(sql) > LONGEST_SQL or _UNWRITABLE.search(sql)):
        yield _problem("/sql", f"is empty, longer than {LONGEST_SQL:,} characters, or has some that cannot be written")
    if value["target"] is None:
        yield _problem("/target", "is missing", "name a target, or ask for it with 'question'")
        return
    writer = choices.writer(value["target"]["component"])
    if writer is not None:
        yield from _wrong_file(value["target"]) if writer.makes_files else _wrong_table(value["target"], writer)


def _wrong_sources(sources: Sequence[Given], choices: Choices) -> Iterator[Diagnostic]:
    names = [each["relation"] for each in sources]
    yield from _unknown(names, "/sources/{}/relation", choices)
    if not names or len(set(names)) < len(names):
        yield _problem("/sources", "is empty or names one twice", "name each that is read, once")
    for number, source in enumerate(sources):
        relation = choices.relation(source["relation"])
        if relation and source["columns"] is not None:
            yield from _wrong_columns(source["columns"], f"/sources/{number}/columns", relation)


def _wrong_columns(columns: Sequence[str], pointer: str, relation: Relation) -> Iterator[Diagnostic]:
    if not columns or len(set(columns)) < len(columns):
        yield _problem(pointer, "is empty or names one twice", "null stands for all columns")
    known = [each.name for each in relation.columns or ()]
    for number, name in enumerate(columns if known else ()):
        if name not in known:
            yield _problem(f"{pointer}/{number}", "is no column of it", _near(name, known))


def _wrong_file(target: Given) -> Iterator[Diagnostic]:
    for key in ("connection", "table"):
        if target[key] is not None:
            yield _problem(f"/target/{key}", "must be null: this component writes a file")
    if target["mode"] in ("append", "upsert"):
        yield _problem("/target/mode", "must be null: a file is always written anew", "or write to a table")
    path = target["path"]
    if path is not None and (not path.strip() or len(path) > LONGEST_SAID or _UNWRITABLE.search(path)):
        yield _problem("/target/path", "is no path", "null stands for a file in output/ that is named as the pipeline")


def _wrong_table(target: Given, writer: Writer) -> Iterator[Diagnostic]:
    if target["path"] is not None:
        yield _problem("/target/path", "must be null: this component writes to a table")
    if target["connection"] not in writer.connections:
        yield _problem("/target/connection", "must be one of this component", "known: " + ", ".join(writer.connections))
    table = target["table"] or ""
    if not table.strip() or len(table) > LONGEST_SAID or _UNWRITABLE.search(table) or "${" in table:
        yield _problem("/target/table", "must be the name of a table")
    if target["mode"] not in writer.modes:
        yield _problem("/target/mode", "must be one of this component", "known: " + ", ".join(writer.modes))
    if (target["mode"] == "upsert") != bool(target["key"]):
        yield _problem("/target/key", "has the columns that name a row for upsert, and is empty else")


def _proposal(value: Given, choices: Choices) -> Proposal:
    """Return a proposal that is right."""
    given = value["target"]
    writer = choices.writer(given["component"])
    ending = writer.ending if writer else None
    target = Target(
        component=given["component"],
        connection=given["connection"],
        path=given["path"] or default_path(value["name"], ending) if ending else None,
        table=given["table"],
        mode=None if ending else given["mode"],
        key=tuple(given["key"]),
    )
    columns = (None if each["columns"] is None else tuple(each["columns"]) for each in value["sources"])
    return Proposal(
        name=value["name"],
        sources=tuple(Source(each["relation"], c) for each, c in zip(value["sources"], columns, strict=True)),
        sql=_unix(value["sql"]),
        target=target,
        assumptions=tuple(one_line(each, LONGEST_SAID) for each in value["assumptions"][:_MOST_SAID]),
    )


def _unix(text: str | None) -> str | None:
    return text and text.replace("\r\n", "\n")


def default_path(name: str, ending: str | None) -> str:
    """Return where the file of a pipeline goes if nobody says where."""
    return f"output/{name}.{ending}"
