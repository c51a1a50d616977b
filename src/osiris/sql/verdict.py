"""What the check of one SQL text answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic

if TYPE_CHECKING:
    from osiris.model import JsonValue
    from osiris.sql.lineage.flow import Flow
    from osiris.sql.nondeterminism.determinism import Finding


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one text: whether it may run, and the only form in which it may.

    `canonical` is None when it may not. Lines and columns of `diagnostics` count from 1 inside the text. `relations`
    tells how often each relation is read, under the spelling in which it was declared. `ordered`: the outermost query
    has an ORDER BY, and nothing is compared under a collation. `keeps_order`: it passes the rows of at most one
    relation through in the order in which they come. `flow` tells the way of its columns, and
    `findings` what in the text as it was written may give another result in another run; None if nobody looked.
    """

    ok: bool
    canonical: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    relations: dict[str, int] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    ordered: bool = False
    keeps_order: bool = False
    flow: Flow | None = None
    findings: tuple[Finding, ...] | None = ()

    def to_json(self) -> dict[str, JsonValue]:
        """Return all of it as JSON, for `from_json`."""
        return {
            "ok": self.ok,
            "canonical": self.canonical,
            "diagnostics": [item.to_json() for item in self.diagnostics],
            "relations": self.relations,
            "parameters": sorted(self.parameters),
            "ordered": self.ordered,
            "keeps_order": self.keeps_order,
            "flow": None if self.flow is None else self.flow.to_json(),
            "findings": [finding.to_json() for finding in self.findings or ()],
        }

    @classmethod
    def from_json(cls, data: dict[str, JsonValue]) -> Verdict:
        """Return the verdict that `to_json` wrote."""
        from osiris.sql.lineage.flow import Flow
        from osiris.sql.nondeterminism.determinism import Finding

        return cls(
            data["ok"],
            data["canonical"],
            tuple(Diagnostic.from_json(item) for item in data["diagnostics"]),
            data["relations"],
            frozenset(data["parameters"]),
            data["ordered"],
            data["keeps_order"],
            None if data["flow"] is None else Flow.from_json(data["flow"]),
            tuple(Finding.from_json(item) for item in data["findings"]),
        )
