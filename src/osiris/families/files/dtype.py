"""The types that a config declares for the columns of a text file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.document import join
from osiris.errors import Location, diagnostic, raise_all
from osiris.types import is_type_name, unknown_type

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

# What a dtype may be called by those who think in data frames.
EARLIER_TYPES = {
    "str": "utf8",
    "string": "utf8",
    "object": "utf8",
    "category": "utf8",
    "int": "int64",
    "integer": "int64",
    "float": "float64",
    "double": "float64",
    "boolean": "bool",
    "date32": "date",
    "datetime": "timestamp[us]",
    "datetime64": "timestamp[us]",
    "datetime64[s]": "timestamp[s]",
    "datetime64[ms]": "timestamp[ms]",
    "datetime64[us]": "timestamp[us]",
    "datetime64[ns]": "timestamp[ns]",
    "datetime64[ns, UTC]": "timestamp[ns,UTC]",
    **{f"{sign}Int{bits}": f"{sign.lower()}int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
    "Float32": "float32",
    "Float64": "float64",
}


def declared_types(dtype: Mapping[str, str], beside: Container[str] = ()) -> dict[str, str]:
    """Return the declared type of each column, by today's name; `beside` are types that need no spelling.

    Fails with DAT012 for what is no type and DAT006 for one that a text file cannot hold.
    """
    from osiris.families.text_format import kind_of  # who only compiles has no need of Arrow, which takes 50 MB

    types = {name: EARLIER_TYPES.get(text, text) for name, text in dtype.items()}
    problems = [unknown_type(text, _place(name)) for name, text in types.items() if not is_type_name(text)]
    problems += [
        diagnostic("DAT006", at=_place(name), column=name, type=text, reason="a text file has no spelling for it")
        for name, text in types.items()
        if is_type_name(text) and kind_of(text) is None and text not in beside
    ]
    if problems:
        raise_all(problems)
    return types


def _place(column: str) -> Location:
    return Location(pointer=join("/config/dtype", column))
