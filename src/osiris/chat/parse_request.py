"""From OML back to a request, where it is what a request renders to.

A request is read from the text, and rendered: only if that gives the same document again, blanks in SQL aside, it is
the request of the text. SQL that no step renders to is kept as it is, as the SQL of a step. What the result cannot
say, `docs/reference/requests.md` lists; a comment is part of that.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import yaml

from osiris.api import format_text
from osiris.chat.expressions import Misfit, Misfits, unused
from osiris.chat.read_statement import Outside, read_step
from osiris.chat.render import SAVE, given_to_next, path_of, problems_of, render_request
from osiris.chat.request import Check, Output, Parameter, Request, Source, Step, Typed
from osiris.chat.sql_text import tokens
from osiris.chat.statement import Given, statement
from osiris.errors import OsirisError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from osiris.chat.choices import Choices
    from osiris.model import JsonValue

    Mapped = dict[str, Any]

_SOURCE_KEYS = {"columns", "encoding", "dtype", "on_reject"}


def parse_request(text: str, choices: Choices) -> Request | None:
    """Return the request that a pipeline is; None if a request cannot say all of it."""
    try:
        document = yaml.safe_load(text)
        if format_text(json.dumps(document, ensure_ascii=False), "x.yaml") != format_text(text, "x.yaml"):
            return None
        request = _request(_settled(document), choices)
        again = yaml.safe_load(render_request(request, choices, str(document.get("description", ""))))
        return request if _plain(again) == _plain(_settled(document)) else None
    except (OsirisError, Outside, Misfit, Misfits, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError):
        return None


def _settled(document: Mapped) -> Mapped:
    """Return a document in which every step says what it needs."""
    steps: list[Mapped] = []
    for step in document["steps"]:
        needs = [] if step["mode"] == "read" or not steps else [steps[-1]["id"]]
        steps.append({**step, "needs": step.get("needs", needs)})
    return {**document, "steps": steps}


def _plain(document: Mapped) -> Mapped:
    """Return what a document means, whatever blanks its SQL has."""
    steps = []
    for step in document["steps"]:
        config = dict(step["config"])
        if "query" in config:
            config["query"] = tokens(config["query"])
        steps.append({**step, "config": config})
    return {**document, "oml_version": None, "steps": steps}


def _request(document: Mapped, choices: Choices) -> Request:
    steps = document["steps"]
    sources = tuple(_source(each, choices) for each in steps if each["mode"] == "read")
    parameters = tuple(_parameter(name, given) for name, given in document.get("params", {}).items())
    outputs = tuple(_output(each) for each in steps if each["mode"] == "write")
    request = Request(document["name"], sources, (), outputs, parameters)
    for each in steps:
        if each["mode"] == "transform":
            request = replace(request, steps=(*request.steps, _step(each, request, choices)))
    return _without_defaults(request, choices)


def _without_defaults(request: Request, choices: Choices) -> Request:
    """Return a request whose outputs have no name and no path where it is the one that they would get."""
    outputs: list[Output] = []
    for number, each in enumerate(request.outputs):
        taken = [str(other.name) for other in request.outputs[:number]]
        default = unused(SAVE if len(request.outputs) == 1 else f"{SAVE}_{each.input}", taken)
        name = None if each.name == default else each.name
        path = None if each.path == path_of(replace(each, path=None), request, choices) else each.path
        outputs.append(replace(each, name=name, path=path))
    return replace(request, outputs=tuple(outputs))


def _source(step: Mapped, choices: Choices) -> Source:
    config = step["config"]
    for relation in choices.relations:
        own = relation.step["config"]
        rest = {key: value for key, value in config.items() if key not in own}
        is_one = relation.step["component"] == step["component"] and rest.keys() <= _SOURCE_KEYS
        if is_one and all(config.get(key) == value for key, value in own.items()):
            return Source(
                relation.id,
                tuple(rest["columns"]) if "columns" in rest else None,
                rest.get("encoding"),
                tuple(Typed(name, kind) for name, kind in rest.get("dtype", {}).items()),
                rest.get("on_reject"),
                None if step["id"] == relation.name else step["id"],
            )
    raise Outside


def _parameter(name: str, given: Mapped) -> Parameter:
    default = given["default"]
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return Parameter(name, given["type"], text)


def _output(step: Mapped) -> Output:
    config = step["config"]
    return Output(
        step["needs"][0],
        step["component"],
        config.get("connection"),
        config.get("path"),
        config.get("table"),
        config.get("write_mode"),
        tuple(config.get("primary_key", ())),
        tuple(config.get("partition_by", ())),
        step["id"],
    )


def _step(given: Mapped, request: Request, choices: Choices) -> Step:
    """Return the step of a statement: as parts, or as SQL where it has parts that a step does not say."""
    query, name = given["config"]["query"], given["id"]
    checks = tuple(_check(each) for each in given["config"].get("checks", ()))
    known = given_to_next(request, choices)
    for step in _candidates(query, name, known):
        whole = replace(request, steps=(*request.steps, step), outputs=())
        is_wrong = any(each.pointer.startswith("/steps") for each in problems_of(whole, choices))
        if not is_wrong and tokens(statement(step, known)) == tokens(query):
            return replace(step, checks=checks)
    return Step(name, sql=query.strip(), inputs=tuple(given["needs"]), checks=checks)


def _candidates(query: str, name: str, given: Given) -> Iterator[Step]:
    try:
        yield from read_step(query, name, given)
    except (Outside, Misfit, Misfits, LookupError, TypeError, ValueError):
        return


def _check(given: Mapped) -> Check:
    ((kind, what),) = given.items()
    if kind in ("not_null", "unique"):
        return Check(kind, tuple(what))
    columns = (what["column"],) if "column" in what else ()
    values = tuple(cast("str", _as_text(each)) for each in what.get("values", ()))
    return Check(kind, columns, values, _as_text(what.get("min")), _as_text(what.get("max")))


def _as_text(value: JsonValue) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
