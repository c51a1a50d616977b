"""A plan as one HTML page that needs nothing else: no script, no font, no request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.report.graph import BOX_HEIGHT, BOX_WIDTH, draw
from osiris.report.template import render

if TYPE_CHECKING:
    from osiris.report.plan import PlanView


def plan_page(view: PlanView) -> str:
    """Return the HTML page of a plan."""
    edges = [(source, step.id) for step in view.steps for source in (*step.inputs, *step.after)]
    steps = {step.id: step for step in view.steps}
    return render(
        "plan.html.jinja",
        plan=view,
        steps=steps,
        drawing=draw(list(steps), edges),
        box=(BOX_WIDTH, BOX_HEIGHT),
    )
