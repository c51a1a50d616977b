"""Results as notebooks show them: a title and tables, as HTML without scripts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from osiris.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table: its columns' names and its cells as text; None is an empty cell."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def table_of(header: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> ShownTable:
    """Return a table of any values."""
    return ShownTable(caption, header, [[_text(cell) for cell in row] for row in rows])


def problems_table(diagnostics: Iterable[Diagnostic]) -> list[ShownTable]:
    """Return the table of diagnostics; none if there are none."""
    rows = [(item.severity, item.code, str(item.location), item.message, item.hint) for item in diagnostics]
    return [table_of(("", "code", "place", "problem", "hint"), rows)] if rows else []


def _text(cell: object) -> str:
    if cell is None:
        return ""
    is_count = isinstance(cell, int) and not isinstance(cell, bool)
    return f"{cell:,}" if is_count else str(cell)


class Shown:
    """A result that notebooks show as HTML; subclasses have `_title` and `_tables`."""

    __slots__ = ()

    def _title(self) -> str:
        raise NotImplementedError

    def _tables(self) -> Sequence[ShownTable]:
        raise NotImplementedError

    def _clean(self, text: str) -> str:
        """Return a text as it may be shown."""
        return text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._clean(self._title())}>"

    def _repr_html_(self) -> str:
        from osiris.report.template import render

        tables = [
            replace(each, rows=[[self._clean(cell) for cell in row] for row in each.rows]) for each in self._tables()
        ]
        return render("result.html.jinja", title=self._clean(self._title()), tables=tables)
