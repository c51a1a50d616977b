"""What a server was started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server was started with. `show_values`: values of data are not masked."""

    root: Path
    environ: Mapping[str, str]
    profile: str | None
    allow_run: bool = False
    show_values: bool = False
