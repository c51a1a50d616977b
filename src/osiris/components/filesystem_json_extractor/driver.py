"""Reads JSON files: each value as text, validated against its column's type, then cast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from osiris.errors import fail
from osiris.families.files.extractor import A_MOMENT, TextExtractor, declared_types, limited
from osiris.families.files.json_files import JsonColumn, JsonConfig, JsonFile, JsonTypeInference
from osiris.families.files.source_files import Probe, label, sources
from osiris.families.source_columns import check_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from osiris.driver import StepContext
    from osiris.families.files.json_files import JsonRows
    from osiris.families.files.source_files import BadRow
    from osiris.model import Schema

MAX_KEYS = 4096
"""The maximum number of keys unless columns are listed: more keys are probably data."""


@dataclass(frozen=True, slots=True)
class Config(JsonConfig):
    """The config of a step; its keys and defaults are described in spec.yaml."""

    parse_dates: Sequence[str] = ()

    @property
    def dates(self) -> Sequence[str]:
        """Return the columns that must be dates or timestamps."""
        return self.parse_dates


class Driver(TextExtractor[Config]):
    """An extractor of JSON files."""

    def _files(self, config: Config, ctx: StepContext) -> list[JsonFile]:
        return [JsonFile(path, label(ctx, path), config) for path in sources(ctx, config.path)]

    def _look(self, config: Config, files: Sequence[JsonFile], ctx: StepContext) -> tuple[Mapping[str, str], int]:
        declared = declared_types(config.dtype, extra={"json"})
        guesses: dict[str, JsonTypeInference] = {}
        probes = [Probe(file.path) for file in files]
        tolerant = config.on_bad_lines != "error" or ctx.on_reject == "quarantine"
        for file, probe in zip(files, probes, strict=True):
            for rows in limited(_probed(file, probe, tolerant=tolerant), config.sampled):
                _add_names(config, guesses, rows)
                _guess(config, guesses, declared, rows)
        names = _names(config, list(guesses), declared, files[0].label)
        types = {name: declared.get(name) or guesses[name].type() for name in names}
        return types, sum(probe.estimate() for probe in probes)

    def _columns(self, config: Config, _files: Sequence[JsonFile], schema: Schema) -> Mapping[str, JsonColumn]:
        return {column.name: JsonColumn(column.type, column.name in config.declared) for column in schema}


def _ignore(_row: BadRow) -> None:
    """Ignore a bad row, which the run will report."""


def _probed(file: JsonFile, probe: Probe, *, tolerant: bool) -> Iterator[JsonRows]:
    """Yield the rows of a file, and count rows and bytes in a probe."""
    for rows in file.rows((), probe.on_bytes, _ignore if tolerant else None):
        probe.rows += rows.num_rows
        yield rows
    probe.whole = True


def _add_names(config: Config, guesses: dict[str, JsonTypeInference], rows: JsonRows) -> None:
    """Add the keys of rows in order of appearance; fails with DAT004 if there are too many."""
    for row in rows.rows:
        if not row.keys() <= guesses.keys():
            for name in row:
                guesses.setdefault(name, JsonTypeInference(moment=name in config.dates))
    if len(guesses) > MAX_KEYS and config.columns is None:
        hint = "list the columns to read"
        fail("DAT004", file=rows.label, problem=f"its rows have more than {MAX_KEYS} keys", hint=hint)


def _guess(
    config: Config, guesses: Mapping[str, JsonTypeInference], declared: Mapping[str, str], rows: JsonRows
) -> None:
    """Infer the types of the requested columns without a declared type."""
    for name, guess in guesses.items():
        if name in declared or (config.columns is not None and name not in config.columns):
            continue
        misfit = guess.update(rows.values(name))
        if misfit is not None:
            rows.fail_cell(misfit, name, A_MOMENT, declared=True)


def _names(config: Config, keys: list[str], declared: Mapping[str, str], label: str) -> list[str]:
    """Return the columns; fails with DAT004 if there are none or one has a bad name, DAT005 if one is unknown."""
    names = keys if config.columns is None else list(config.columns)
    # A declared key may be missing from the sample.
    existing = list(dict.fromkeys([*keys, *(name for name in names if name in declared)]))
    listed = config.columns or ()
    check_known({"columns": listed, "dtype": config.dtype, "parse_dates": config.dates}, existing, label)
    if not names:
        fail(
            "DAT004",
            file=label,
            problem="its rows have no keys, so its columns are unknown",
            hint="declare columns and dtype",
        )
    bad = next((name for name in names if not _is_name(name)), None)
    if bad is not None:
        fail("DAT004", file=label, problem=f"the key {bad!r} cannot be the name of a column")
    return names


def _is_name(key: str) -> bool:
    """Whether a key can be the name of a column: not empty, and without unpaired surrogates."""
    return key != "" and not any("\ud800" <= char <= "\udfff" for char in key)
