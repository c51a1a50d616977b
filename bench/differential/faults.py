"""Faults of a case: bad rows or casts, and their expected effects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .spelling import double, spell
from .tables import Column, Table

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from .cases import Case


@dataclass(frozen=True)
class Fault:
    """Options of the step that reads, what it then returns, and whether it may or must be rejected."""

    words: str
    table: Table
    config: dict[str, Any]
    refusal: str | None = None
    rejected: int = 0
    codes: tuple[str, ...] = ()
    """The expected codes of the rejection."""
    extra: dict[str, Any] = field(default_factory=dict)


def choose(rng: random.Random, case: Case) -> Fault | None:
    """Return a fault, usually none."""
    if rng.random() > 0.12:
        return None
    makers: list[Callable[[random.Random, Case], Fault | None]] = [_failing_check, _cast]
    if case.source.cells is not None and case.source.table.size < 5000:
        makers += [_misfits, _misfits]
    return rng.choice(makers)(rng, case)


def _failing_check(rng: random.Random, case: Case) -> Fault:
    table = case.source.table
    check = rng.choice([{"row_count": {"min": table.size + 1}}, {"range": {"column": "id", "min": 2}}])
    must = "must: a check fails" if "row_count" in check or table.size else None
    return Fault("a check that fails", table, {"checks": [check]}, must, codes=("DAT030",))


def _misfits(rng: random.Random, case: Case) -> Fault | None:
    """Declare a number where some cells are not numbers: the rows are rejected, or the step fails."""
    cells = case.source.cells
    assert cells is not None
    columns = [column for column in cells.columns if column.name != "id"]
    column = rng.choice(columns)
    bad = {row for row, cell in enumerate(column.values) if cell is not None and not _is_integer(cell)}
    dtype = {**case.source.config.get("dtype", {}), column.name: "int64"}
    looked_at = {
        "dtype": dtype,
        "columns": [one.name for one in cells.columns],
    }  # unused columns are not checked
    typed = Column(column.name, "int64", [None if cell is None else _integer_or(cell) for cell in column.values])
    declared = Table([typed if one.name == column.name else one for one in case.source.table.columns])
    if rng.random() < 0.5:
        return Fault("misfits fail", declared, looked_at, "must: cells do not fit" if bad else None, codes=("DAT001",))
    # The sample determines the types of the other columns: those are left unchanged.
    kept = Table([replace(one, values=_without(one.values, bad)) for one in declared.columns])
    return Fault("misfits rejected", kept, looked_at | {"on_reject": "quarantine"}, None, len(bad))


def _is_integer(cell: str) -> bool:
    digits = cell.removeprefix("-")
    plain = digits.isascii() and digits.isdigit() and (digits == "0" or not digits.startswith("0")) and cell != "-0"
    return plain and -(2**63) <= int(cell) < 2**63


def _integer_or(cell: str) -> Any:
    return int(cell) if _is_integer(cell) else cell


def _without(values: list[Any], rows: set[int]) -> list[Any]:
    return [item for row, item in enumerate(values) if row not in rows]


def _cast(rng: random.Random, case: Case) -> Fault | None:
    """Cast one column; each value arrives exactly, or the step fails."""
    table = case.source.table
    others = [column for column in table.columns if column.name != "id"]
    choices = [(column, kind) for column in others for kind in CASTS.get(column.type, {})]
    if not choices:
        return None
    column, kind = rng.choice(choices)
    convert = CASTS[column.type][kind]
    values = [None if item is None else convert(item) for item in column.values]
    refusal = "may: a cast"
    if any(item is INEXACT for item in values):
        refusal = "must: a cast that changes a value"
        values = column.values
    cast = Table([Column(one.name, kind, values) if one is column else one for one in table.columns])
    config = {"cast": {column.name: kind}, "columns": [one.name for one in table.columns]}
    return Fault(f"cast {column.type} to {kind}", cast, config, refusal, codes=("DAT014",))


INEXACT = object()


def _to_double(item: Any) -> Any:
    if str(item).casefold().lstrip("+-") in ("inf", "infinity", "nan"):
        return float(item)
    try:
        number = double(str(item))
    except (ValueError, ArithmeticError):
        return INEXACT
    return INEXACT if number is None else number


def _int_to_double(item: int) -> Any:
    return float(item) if int(float(item)) == item else INEXACT


def _to_decimal(item: Any) -> Any:
    number = Decimal(item) + 0  # the type has one zero, without a sign
    exact = number == number.quantize(Decimal("0.01")) and abs(number) < 10**16
    return number if exact else INEXACT


def _text_to_int(item: str) -> Any:
    return int(item) if _is_integer(item) else INEXACT


def _text_to_decimal(item: str) -> Any:
    try:
        number = Decimal(item)
        return _to_decimal(number) if number.is_finite() and "_" not in item else INEXACT
    except ArithmeticError:
        return INEXACT


CASTS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "int64": {"utf8": str, "decimal(38,0)": Decimal, "float64": _int_to_double, "decimal(18,2)": _to_decimal},
    "utf8": {"float64": _to_double, "int64": _text_to_int, "decimal(18,2)": _text_to_decimal},
    "date": {"utf8": spell},
    "float64": {"decimal(18,2)": lambda item: _to_decimal(repr(item)) if abs(item) < 1e15 else INEXACT},
}
