"""Makes HTML of templates, and spells figures and texts for pages: data is never markup."""

from __future__ import annotations

import base64
import hashlib
import shlex
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.report.plan import flow_text, size_text
from osiris.units import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from markupsafe import Markup

_FOLDER = Path(__file__).parent

_SHOWN = 26
"""Letters of a text that fit into a box of a drawing."""


def render(template: str, folder: Path = _FOLDER, /, **words: object) -> str:
    """Return a page rendered from a template of `folder`, which may use those of this one.

    `site` is what a server shows around a page: a project, its pages, the path of the current one; None in a file.
    """
    return _environment(folder).get_template(template).render({"site": None, **words})


def is_page(begins: bytes) -> bool:
    """Return whether a file with this beginning is a page rendered here."""
    return begins.lstrip().startswith(b"<!doctype html>")


def own(*files: str) -> Markup:
    """Return style sheets or scripts of this folder, or with full paths, concatenated for a page."""
    from markupsafe import Markup

    return Markup("\n".join((_FOLDER / file).read_text(encoding="utf-8").strip() for file in files))  # noqa: S704 - ours


def licensed(licence: str, file: str) -> Markup:
    """Return a third-party script for a page, after its licence."""
    from markupsafe import Markup

    return Markup("/*\n{}\n*/\n{}").format(own(licence), own(file))


def policy(styles: Sequence[str], scripts: Sequence[str], *, served: bool = False) -> str:
    """Return a Content-Security-Policy that allows these texts of `<style>` and `<script>`, and nothing else at all.

    A `served` page may also ask its server, and send forms to it.
    """
    allowed = {"style-src": styles, "script-src": scripts}
    parts = [f"{kind} {' '.join(map(_hash, texts))}" for kind, texts in allowed.items() if texts]
    ends = ["connect-src 'self'", "form-action 'self'"] if served else ["form-action 'none'"]
    return "; ".join(["default-src 'none'", *parts, "base-uri 'none'", *ends])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(list(dict.fromkeys((folder, _FOLDER)))),
        autoescape=True,
        undefined=StrictUndefined,
        # All characters of data are made visible; markup is what templates made, of data that went through here.
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "short": short,
        "shell": shlex.quote,
        "size": size_text,
        "flow": flow_text,
        "number": number_text,
        "duration": duration_text,
        "moment": moment_text,
        "count": count,
    }
    return environment


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
