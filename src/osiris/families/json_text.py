"""JSON text, exactly: a number keeps its characters, and a key stands once in its object."""

from __future__ import annotations

import json
from json.encoder import encode_basestring as quoted
from typing import Any, NoReturn

MAX_DEPTH = 64
SPACE = " \t\r\n"


class Number(str):
    """A number, by the characters that spell it."""

    __slots__ = ()


class BadJson(ValueError):
    """Why a text is not JSON; `position` is where, None if the text is well formed and still refused."""

    def __init__(self, problem: str, position: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.position = position


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _value in pairs]
        raise BadJson(f"the key {next(n for n in names if names.count(n) > 1)!r} appears twice in one object")
    return found


def _no_number(name: str) -> NoReturn:
    raise BadJson(f"{name} is not a JSON value")


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=_no_number
).raw_decode


def parse_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at a position and the position behind it; raises BadJson.

    Numbers are `Number`, all else is as the json module has it.
    """
    try:
        return _decode(text, start)
    except json.JSONDecodeError as error:
        raise BadJson(error.msg[:1].lower() + error.msg[1:], error.pos) from None
    except RecursionError:
        raise BadJson(f"it is nested more than {MAX_DEPTH} deep") from None


def parse(text: str) -> Any:  # noqa: ANN401  any JSON value
    """Return the one value that a text is; raises BadJson if it is none, or something follows."""
    start = len(text) - len(text.lstrip(SPACE))
    value, end = parse_at(text, start)
    if text[end:].strip(SPACE):
        raise BadJson("something follows the value", end)
    return value


def parse_object(text: str) -> dict[str, Any]:
    """Return the one object that a text is; raises BadJson if it is not."""
    value = parse(text)
    if type(value) is not dict:
        raise BadJson("an object is expected")
    return value


def compact(value: Any, depth: int = 0) -> str:  # noqa: ANN401  any JSON value
    """Return a parsed value as text: no spaces, keys in their order, numbers as they were, no needless escapes.

    Raises BadJson for one that is nested more than MAX_DEPTH deep.
    """
    if isinstance(value, str):
        return str(value) if isinstance(value, Number) else quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if depth == MAX_DEPTH:
        raise BadJson(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return f"[{','.join([compact(item, depth + 1) for item in value])}]"
    return f"{{{','.join([f'{quoted(key)}:{compact(item, depth + 1)}' for key, item in value.items()])}}}"
