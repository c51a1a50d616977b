"""SQL safety: what may run, in which form, over which inputs."""

from __future__ import annotations

from osiris.sql.check_text import Verdict, check

__all__ = ["Verdict", "check"]
