"""What the check of one SQL text answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osiris.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one text: whether it may run, and the only form in which it may.

    `canonical` is None when it may not. Lines and columns of `diagnostics` count from 1 inside the text. `relations`
    tells how often each relation is read, under the spelling in which it was declared. `ordered`: the outermost query
    has an ORDER BY, and nothing is compared under a collation. `keeps_order`: it passes the rows of at most one
    relation through in the order in which they come.
    """

    ok: bool
    canonical: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    relations: dict[str, int] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    ordered: bool = False
    keeps_order: bool = False
