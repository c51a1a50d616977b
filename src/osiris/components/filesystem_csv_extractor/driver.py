"""Reads CSV files: every cell as text, validated against the text format of its column's type, then cast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.files.csv_files import CsvFile, Dialect
from osiris.families.files.extractor import A_MOMENT, TextExtractor, declared_types, limited
from osiris.families.files.source_files import label, sources
from osiris.families.files.type_inference import TypeInference
from osiris.families.source_columns import check_known, check_same
from osiris.families.text_format import Checked, Spelling
from osiris.model import Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.model import Schema


@dataclass(frozen=True, slots=True)
class Config(Dialect):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    parse_dates: bool | Sequence[str] = False
    chunk_size: int = 10_000
    as_text: bool = False

    @property
    def dates(self) -> Sequence[str]:
        """Return the columns that must be dates or timestamps."""
        return () if isinstance(self.parse_dates, bool) else self.parse_dates


class Driver(TextExtractor[Config]):
    """An extractor of CSV files."""

    def _files(self, config: Config, ctx: StepContext) -> list[CsvFile]:
        dialect = config
        if config.on_bad_lines == "error" and ctx.on_reject == "quarantine":
            dialect = replace(config, on_bad_lines="skip")
        return [CsvFile(path, label(ctx, path), dialect, ctx.threads) for path in sources(ctx, config.path)]

    def _look(
        self, config: Config, files: Sequence[CsvFile], _ctx: StepContext
    ) -> tuple[Mapping[str, str], int | None]:
        names = files[0].names()
        columns = list(names if config.columns is None else config.columns)
        check_known({"columns": columns, "dtype": config.dtype, "parse_dates": config.dates}, names, files[0].label)
        types, rows = _types(config, files, columns)
        return dict.fromkeys(types, "utf8") if config.as_text else types, rows

    def _check_planned(
        self, config: Config, schema: Schema, ctx: StepContext, label: str, names: Sequence[str]
    ) -> None:
        planned = [column.name for column in schema]
        missing = [name for name in planned if name not in names]
        if missing:
            fail("DAT011", step=ctx.step, problem=f"{label} has no column '{missing[0]}'")
        if config.columns is None and list(names) != planned:
            fail("DAT011", step=ctx.step, problem=f"the columns of {label} are {', '.join(names)}")

    def _columns(self, config: Config, files: Sequence[CsvFile], schema: Schema) -> Mapping[str, Spelling]:
        types = {column.name: column.type for column in schema}
        if not config.as_text:
            return {name: Spelling(kind, name in config.declared) for name, kind in types.items()}
        types, _rows = _types(config, files, list(types))
        return {name: Checked(kind, name in config.declared) for name, kind in types.items()}


def _declared(config: Config, columns: Sequence[str]) -> dict[str, str]:
    """Return the types of the columns that are not inferred from cells."""
    declared = declared_types(config.dtype)
    if config.as_text:  # undeclared columns are text
        return {**{name: "utf8" for name in columns if name not in config.dates}, **declared}
    return declared


def _types(config: Config, files: Sequence[CsvFile], columns: Sequence[str]) -> tuple[dict[str, str], int | None]:
    """Return the type of each column, declared or inferred from the first rows of every file.

    Also return the approximate number of rows; None if none was read.
    """
    declared = _declared(config, columns)
    guesses = {name: TypeInference(moment=name in config.dates) for name in columns if name not in declared}
    header, rows = files[0].names(), 0
    for file in files:
        check_same(file.label, _texts(file.names()), files[0].label, _texts(header))
        if guesses:
            rows += _look_at(file, guesses, config.sampled)
    return {name: declared.get(name) or guesses[name].type() for name in columns}, rows if guesses else None


def _texts(header: Sequence[str]) -> Schema:
    """Return the columns of a header, all of one type."""
    return tuple(Field(name, "utf8") for name in header)


def _look_at(file: CsvFile, guesses: Mapping[str, TypeInference], most: int | None) -> int:
    """Infer types from the first rows of a file, and return its approximate number of rows."""
    read = 0
    for rows in limited(file.rows(dict.fromkeys(guesses, Spelling("utf8"))), most):
        for name, guess in guesses.items():
            misfit = guess.update(rows.values(name))
            if misfit is not None:
                rows.fail_cell(misfit, name, A_MOMENT, declared=True)
        read += rows.num_rows
    return file.estimated_rows() if read == most else read
