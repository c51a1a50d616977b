"""What all components of the filesystem family share: where a step's path leads, and what its columns must be."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from osiris.errors import diagnostic, did_you_mean, raise_all
from osiris.files import expand, fail_os, publish, relative, resolve_path, sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from osiris.driver import StepContext
    from osiris.files import Output
    from osiris.model import Schema


def _base(ctx: StepContext) -> str | None:
    base = ctx.connection.get("base_dir")
    return str(base) if base else None


def sources(ctx: StepContext, path: str) -> list[Path]:
    """Return the files that a step reads, sorted by name: `path` is a path or a pattern below the connection's base."""
    return expand(ctx.root, path, base=_base(ctx))


def target(ctx: StepContext, path: str) -> Path:
    """Return the file that a step writes."""
    return resolve_path(ctx.root, path, base=_base(ctx), writing=True)


def label(ctx: StepContext, path: Path) -> str:
    """Return a file's name for messages: relative to the project where it is below it."""
    return relative(ctx.root, path)


def publishing(path: Path, *, create_dirs: bool) -> AbstractContextManager[Output]:
    """Make the folder if asked to, clear what dead writers left in it, and give the file to write."""
    if create_dirs:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail_os(error, path.parent)
    sweep(path.parent)
    return publish(path)


def check_known(columns: Iterable[str], known: Sequence[str], where: str) -> None:
    """Fail with DAT005 for each column that is not known, with the nearest name."""
    unknown = [name for name in columns if name not in known]
    if unknown:
        raise_all(diagnostic("DAT005", column=name, where=where, hint=did_you_mean(name, known)) for name in unknown)


def refuse(ctx: StepContext, reasons: Mapping[str, str], schema: Schema) -> None:
    """Fail with CMP012 for each column that cannot be carried; `reasons` are by column name."""
    if reasons:
        types = {column.name: column.type for column in schema}
        raise_all(
            diagnostic("CMP012", step=ctx.step, column=name, type=types[name], reason=reason)
            for name, reason in reasons.items()
        )


def check_names(ctx: StepContext, schema: Schema) -> None:
    """Fail with CMP012 for a column whose name is empty or taken: a file is read by its names."""
    names = Counter(column.name for column in schema)
    reasons = {name: "two columns have this name" for name, count in names.items() if count > 1}
    refuse(ctx, {**reasons, **({"": "it has no name"} if "" in names else {})}, schema)
