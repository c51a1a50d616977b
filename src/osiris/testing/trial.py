"""Runs one component in its own folder, and records what it emits and leaves behind.

A `Case` has what the suite cannot know: a working config, where rows come from, and where they can be read.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osiris.driver import StepContext
from osiris.registry import build_config, load_registry
from osiris.table import stream
from osiris.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from osiris.driver import Written
    from osiris.model import ComponentSpec, Described, JsonValue, Schema
    from osiris.registry import Registry
    from osiris.table import RowStream

    Fields = Mapping[str, JsonValue]
    Connection = Fields | Callable[[Path], Fields]

_TEXTS = ["", "žluťoučký kůň 😀", 'it\'s "quoted", once;\n\ttwice', None, "NULL", "007", " x "]
_NAMES = ("id", 'it\'s a "name"', "ž. select")


@dataclass(frozen=True, slots=True)
class Trial:
    """A step of a component in the project folder `root`; `emitted` are its events, `counts` its metrics.

    `connection` are the fields of its connection, or a function that returns them for a root, always the same.
    """

    registry: Registry
    name: str
    root: Path
    config: Mapping[str, JsonValue]
    connection: Connection = field(default_factory=dict)
    emitted: list[tuple[str, Mapping[str, JsonValue]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    changes: Mapping[str, Any] = field(default_factory=dict)

    def changed(self, *, config: Mapping[str, JsonValue] | None = None, **changes: object) -> Trial:
        """Return the same step with changed config keys or context, and new counts."""
        return replace(
            self, config={**self.config, **(config or {})}, changes={**self.changes, **changes}, counts=Counter()
        )

    def describe(self, inputs: Mapping[str, Schema] | None = None) -> Described:
        """Return the driver's description of its output; `inputs` are those of a transform."""
        answer: Described = self._call("describe", *(() if inputs is None else (inputs,)))
        return answer

    def confirm(self, schema: Schema) -> str | None:
        """Return the state of the source; fails if it no longer has this schema."""
        state: str | None = self._call("confirm", schema)
        return state

    def read(self, schema: Schema | None = None) -> RowStream:
        """Return the rows of a source, in the given or its described schema."""
        rows: RowStream = self._call("read", schema or self.describe().schema or ())
        return rows

    def transform(self, inputs: Mapping[str, RowStream], schema: Schema | None = None) -> RowStream:
        """Return the output for these inputs, in the given or the described schema."""
        planned = schema or self.describe({name: rows.schema for name, rows in inputs.items()}).schema or ()
        rows: RowStream = self._call("transform", inputs, planned)
        return rows

    def check(self, schema: Schema) -> None:
        """Check that a writer can carry these columns."""
        self._call("check", schema)

    def write(self, rows: RowStream) -> Written:
        """Check and write rows."""
        self.check(rows.schema)
        written: Written = self._call("write", rows)
        return written

    def fields(self) -> Fields:
        """Return the fields of the connection."""
        return self.connection(self.root) if callable(self.connection) else self.connection

    def has(self, method: str) -> bool:
        """Return whether the driver has a method."""
        return callable(getattr(self.registry.load_driver(self.name)[1](), method, None))

    def files(self) -> dict[str, bytes]:
        """Return all files below the project folder, except the step's own scratch and artifacts."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and self._own not in path.parents
        }

    def leftovers(self) -> list[str]:
        """Return the files left in the scratch folder."""
        return sorted(path.name for path in (self._own / "scratch").rglob("*") if path.is_file())

    @property
    def _own(self) -> Path:
        return self.root / ".step"

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401  a third-party class
        """Call a method of a new driver with the config, these arguments and a context."""
        config, driver = self.registry.load_driver(self.name)
        return getattr(driver(), method)(build_config(config, dict(self.config)), *arguments, self.context())

    def context(self) -> StepContext:
        """Return the context of the step."""
        for folder in ("artifacts", "scratch"):
            (self._own / folder).mkdir(parents=True, exist_ok=True)
        context = StepContext(
            step="step",
            root=self.root,
            artifacts=self._own / "artifacts",
            scratch=self._own / "scratch",
            connection=self.fields(),
            emit=lambda event, fields: self.emitted.append((event, dict(fields))),
            count=lambda metric, value: self.counts.update({metric: value}),
        )
        return replace(context, **self.changes)


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Create an empty project folder, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="osiris-testing-") as name:
        yield Path(name).resolve()


def rows_of(table: pa.Table, size: int | None = None) -> RowStream:
    """Return a table as a stream, in batches of at most `size` rows."""
    return stream(schema_of(table.schema), table.to_batches(size), "fixed")


def table_of(rows: RowStream) -> pa.Table:
    """Return a stream as a table."""
    import pyarrow as pa

    from osiris.types import arrow_schema

    return pa.Table.from_batches(rows.batches(), arrow_schema(rows.schema))


@dataclass(frozen=True, slots=True)
class Case:
    """A step of a component that can run in an empty folder.

    `fill(root, rows)` replaces the rows that a read step reads; `look(root)` returns the rows at the target of a write
    step. For data outside of the folder, `connection` is a function that returns the fields of a separate database for
    each root, always the same. `rows` are the rows to test with if the suite's own do not fit: at least two, with
    unique values in the first column. `family` is that of the connection if it is not the component's.
    `changes_when_opened`: opening the target's files changes them, as some databases do, so only rows are compared.
    """

    config: Mapping[str, JsonValue]
    connection: Connection = field(default_factory=dict)
    fill: Callable[[Path, pa.Table], None] | None = None
    look: Callable[[Path], pa.Table] | None = None
    rows: pa.Table | None = None
    family: str = ""
    changes_when_opened: bool = False

    def table(self) -> pa.Table:
        """Return the rows to test with.

        The default ones have NULLs, quotes, line ends and non-ASCII letters in values and in names.
        """
        import pyarrow as pa

        if self.rows is not None:
            return self.rows
        numbers = [*range(len(_TEXTS) - 1), -(2**63)]
        columns = (pa.array(numbers), pa.array(_TEXTS), pa.array([None, *_TEXTS[1:]]))
        return pa.table(dict(zip(_NAMES, columns, strict=True)))

    def trial(self, registry: Registry, name: str, root: Path) -> Trial:
        """Return the step of a component in a folder."""
        return Trial(registry, name, root, self.config, self.connection, changes={"family": self.family})


def example_case(spec: ComponentSpec) -> Case:
    """Return the case of the first example of a spec."""
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
