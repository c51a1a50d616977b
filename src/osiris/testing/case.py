"""What the suite cannot guess: a config that works, where its rows come from, and where they can be seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.registry import load_registry
from osiris.testing.trial import Trial, rows_of, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pyarrow as pa

    from osiris.model import ComponentSpec, JsonValue
    from osiris.testing.trial import Connection

_TEXTS = ["", "žluťoučký kůň 😀", 'it\'s "quoted", once;\n\ttwice', None, "NULL", "007", " x "]
_NAMES = ("id", 'it\'s a "name"', "ž. select")


@dataclass(frozen=True, slots=True)
class Case:
    """A step of a component that can run in an empty folder.

    `fill(root, rows)` puts rows where a reading step finds them, in place of those that are there; `look(root)` returns
    the rows at the target of a writing step. What is not in a folder takes a function as its `connection`, which gives
    each root the fields of a database of its own, each time the same. `rows` are what it is tried with, if the suite's
    own do not fit: at least two, and the first column tells them apart. `family` is that of the connection, where it is
    not the component's.
    """

    config: Mapping[str, JsonValue]
    connection: Connection = field(default_factory=dict)
    fill: Callable[[Path, pa.Table], None] | None = None
    look: Callable[[Path], pa.Table] | None = None
    rows: pa.Table | None = None
    family: str = ""

    def table(self) -> pa.Table:
        """Return the rows that the step is tried with."""
        return hard_rows() if self.rows is None else self.rows


def example_case(spec: ComponentSpec) -> Case:
    """Return the case that the first example of a spec makes."""
    return Case(spec.examples[0]["config"] if spec.examples else {})


def filled_by(
    name: str, config: Mapping[str, JsonValue], connection: Connection | None = None
) -> Callable[[Path, pa.Table], None]:
    """Return a `fill` that writes with another component."""

    def fill(root: Path, rows: pa.Table) -> None:
        Trial(load_registry(), name, root, config, connection or {}).write(rows_of(rows))

    return fill


def seen_by(
    name: str, config: Mapping[str, JsonValue], connection: Connection | None = None
) -> Callable[[Path], pa.Table]:
    """Return a `look` that reads with another component."""

    def look(root: Path) -> pa.Table:
        return table_of(Trial(load_registry(), name, root, config, connection or {}).read())

    return look


def hard_rows() -> pa.Table:
    """Return rows with NULLs, quotes, line ends and letters of other alphabets in values and in names."""
    import pyarrow as pa

    size = len(_TEXTS)
    numbers = [*range(size - 1), -(2**63)]
    return pa.table(
        dict(zip(_NAMES, (pa.array(numbers), pa.array(_TEXTS), pa.array([None, *_TEXTS[1:]])), strict=True))
    )
