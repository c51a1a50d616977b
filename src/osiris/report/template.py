"""Makes HTML of templates: data is never markup, and a page runs and loads nothing that is not its own."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from osiris.report.plan import flow_text, size_text
from osiris.report.words import count_text, duration_text, moment_text, number_text, short, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment
    from markupsafe import Markup

_FOLDER = Path(__file__).parent


def render(template: str, **words: object) -> str:
    """Return a page made of a template of this folder."""
    return _environment().get_template(template).render(words)


def is_page(begins: bytes) -> bool:
    """Tell whether a file that begins so is a page, as all that is rendered here."""
    return begins.lstrip().startswith(b"<!doctype html>")


def own(*files: str) -> Markup:
    """Return style sheets or scripts of this folder, one behind the other, as they stand in a page."""
    from markupsafe import Markup

    return Markup("\n".join((_FOLDER / file).read_text(encoding="utf-8").strip() for file in files))  # noqa: S704 - ours


def licensed(licence: str, file: str) -> Markup:
    """Return a script of somebody else, as it stands in a page: behind its licence, which must go with it."""
    from markupsafe import Markup

    return Markup("/*\n{}\n*/\n{}").format(own(licence), own(file))


def policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return a Content-Security-Policy that allows these texts of `<style>` and `<script>`, and nothing else at all."""
    allowed = {"style-src": styles, "script-src": scripts}
    parts = [f"{kind} {' '.join(map(_hash, texts))}" for kind, texts in allowed.items() if texts]
    return "; ".join(["default-src 'none'", *parts, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "short": short,
        "size": size_text,
        "flow": flow_text,
        "number": number_text,
        "duration": duration_text,
        "moment": moment_text,
        "count": count_text,
    }
    return environment


def _finalize(value: object) -> object:
    """Make all characters of data visible; markup is what templates made, of data that went through here."""
    return visible(value) if type(value) is str else value
