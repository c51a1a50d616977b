"""How figures and texts are spelled on pages."""

from __future__ import annotations

from datetime import UTC, datetime

_SHOWN = 26
"""Letters of a text that fit into a box of a drawing."""


def visible(text: str) -> str:
    """Spell characters that are not to be seen, and could hide or turn others, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in text)


def short(text: str, most: int = _SHOWN) -> str:
    """Return the beginning of a text that is longer than `most` letters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def number_text(number: float | None) -> str:
    """Return a number in groups of three, without decimals; a dash where there is none."""
    return "-" if number is None else f"{number:,.0f}"


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun: `1 step`, `1,024 steps`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration_text(seconds: float | None) -> str:
    """Return a duration with two or three digits that count: `170 ms`, `2.3 s`, `4 min 12 s`."""
    if seconds is None:
        return "-"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s".replace(".0 ", " ") if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


def moment_text(moment: str | None) -> str:
    """Return a time of a session as people read it, to the second, in UTC; a dash where there is none."""
    if moment is None:
        return "-"
    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def change_text(before: float, now: float) -> str:
    """Return by how much a figure has changed: `same`, `+12`, `-3 (-25 %)`; the part only where there is one."""
    if before == now:
        return "same"
    part = f" ({100 * (now - before) / before:+,.0f} %)" if before else ""
    return f"{now - before:+,.0f}{part}"
