"""What a step is told that writes a table of a database server, of whatever family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Writing:
    """What a step writes, and how; its fields are config keys of all such writers, and described in their specs."""

    table: str
    schema: str | None = None
    write_mode: Literal["append", "replace", "upsert"] = "append"
    primary_key: Sequence[str] | str | None = None
    create_if_missing: bool = True
    batch_size: int = 16384
    max_cell_bytes: int | None = None

    @property
    def key(self) -> Sequence[str]:
        """Return the columns of the key, as far as there is one."""
        return [self.primary_key] if isinstance(self.primary_key, str) else self.primary_key or ()
