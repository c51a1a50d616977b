"""What shapes a package: the settings `aiop.*`, each with who says so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from osiris.config import Config
    from osiris.model import JsonValue

SHAPING = (
    "policy",
    "max_core_bytes",
    "timeline_density",
    "metrics_topk",
    "schema_mode",
    "delta",
    "annex.enabled",
    "annex.compress",
)
"""The settings that a package depends on, without their `aiop.`."""

_SHORTEST_EVENT = 64
"""Bytes that no event of a component is told in less of: its time alone takes half of that."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a package is to be; `told` is what its metadata says of each setting."""

    max_bytes: int = 300_000
    density: str = "medium"
    metrics: int = 100
    detailed: bool = False
    compare: bool = True
    annex: bool = False
    compress: bool = False
    told: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def most_told(self) -> int | None:
        """How many events of components of one name may be in a package; None if all are beside it."""
        return None if self.annex else self.max_bytes // _SHORTEST_EVENT


def options_of(config: Config, overrides: Mapping[str, JsonValue]) -> Options:
    """Return the options that the settings make; `overrides` are those of the command line, without `aiop.`."""
    values: dict[str, Any] = {}
    told = {}
    for key in SHAPING:
        setting = config.explain(f"aiop.{key}")[0]
        given = overrides.get(key)
        values[key] = setting.value if given is None else given
        origin = setting.origin if given is None else "command line"
        told[f"aiop.{key}"] = {"value": values[key], "origin": origin}
    return Options(
        max_bytes=values["max_core_bytes"],
        density=values["timeline_density"],
        metrics=values["metrics_topk"],
        detailed=values["schema_mode"] == "detailed",
        compare=values["delta"] != "none",
        annex=values["policy"] == "annex" or values["annex.enabled"],
        compress=values["annex.compress"] == "gzip",
        told=told,
    )
