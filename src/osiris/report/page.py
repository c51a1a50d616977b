"""A plan as one HTML page that needs nothing else: no script, no font, no request. Data is never markup in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from osiris.report.graph import BOX_HEIGHT, BOX_WIDTH, draw
from osiris.report.plan import flow_text, size_text

if TYPE_CHECKING:
    from osiris.report.plan import PlanView

TEMPLATE = "plan.html.jinja"
_SHOWN = 26
"""Letters of a text that fit into a box of the drawing."""


def plan_page(view: PlanView) -> str:
    """Return the HTML page of a plan."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": _short, "size": size_text, "flow": flow_text}
    edges = [(source, step.id) for step in view.steps for source in (*step.inputs, *step.after)]
    steps = {step.id: step for step in view.steps}
    return environment.get_template(TEMPLATE).render(
        plan=view,
        steps=steps,
        drawing=draw(list(steps), edges),
        box=(BOX_WIDTH, BOX_HEIGHT),
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _visible(value: object) -> object:
    """Spell characters that are not to be seen, and could hide or turn others, as escapes."""
    if not isinstance(value, str) or value.isprintable():
        return value
    return type(value)("".join(c if c.isprintable() or c == "\n" else f"\\u{ord(c):04x}" for c in value))
