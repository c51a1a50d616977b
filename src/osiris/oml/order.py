"""Which steps wait for which, and whose output they read: `needs` and `inputs` made explicit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.errors import Diagnostic, diagnostic, did_you_mean

if TYPE_CHECKING:
    from osiris.model import JsonValue, Step
    from osiris.registry import Registry

_REFERENCE = re.compile(r"@([A-Za-z0-9_-]+)|\$\{([A-Za-z0-9_-]+)\.df\}")


def link_steps(
    steps: list[Step], raw: list[Mapping[str, JsonValue]], document: Document, registry: Registry
) -> tuple[list[Step], list[Diagnostic]]:
    """Return the steps with explicit needs and inputs, and everything that is wrong with either.

    `inputs` names data; `needs` are then those steps, unless it is given too. Without `inputs`, a needed step's output
    is read where there is one and this step takes input. Without both, a step follows the one before it.
    """
    ids = {step.id for step in steps}
    gives = {step.id for step in steps if (spec := registry.find(step.component)) is None or spec.output}
    problems = _duplicates(steps, document)
    linked = []
    for index, (step, text) in enumerate(zip(steps, raw, strict=True)):
        previous = steps[index - 1].id if index else None
        needs, found = _needs(step, text, previous, document)
        problems += found
        if "inputs" in text:
            inputs, found = _inputs(step, text["inputs"] or {}, document)
            problems += found
            needs = list(dict.fromkeys([*(needs if "needs" in text else ()), *inputs.values()]))
        else:
            inputs = {needed: needed for needed in needs if needed in gives} if _takes_input(step, registry) else {}
        problems += _unknown(step, needs, ids, document)
        linked.append(replace(step, needs=tuple(needs), inputs=inputs))
    return linked, problems + _cycles(linked, document)


def _needs(
    step: Step, text: Mapping[str, JsonValue], previous: str | None, document: Document
) -> tuple[list[str], list[Diagnostic]]:
    if text.get("needs") is not None:
        return list(text["needs"]), []
    if "inputs" in text or previous is None:
        return [], []
    return [previous], [diagnostic("OML030", at=document.where(step.pointer), step=step.id, previous=previous)]


def _inputs(step: Step, inputs: Mapping[str, str], document: Document) -> tuple[dict[str, str], list[Diagnostic]]:
    found, problems = {}, []
    for name, text in inputs.items():
        match = _REFERENCE.fullmatch(text)
        if match:
            found[name] = match[1] or match[2]
        else:
            at = document.where(join(f"{step.pointer}/inputs", name))
            problems.append(diagnostic("OML018", at=at, name=name, found=f"'{text[:60]}'"))
    return found, problems


def _takes_input(step: Step, registry: Registry) -> bool:
    spec = registry.find(step.component)
    return step.mode != "read" if spec is None else spec.inputs[1] != 0


def _duplicates(steps: Iterable[Step], document: Document) -> list[Diagnostic]:
    first: dict[str, Step] = {}
    problems = []
    for step in steps:
        earlier = first.setdefault(step.id, step)
        if earlier is not step:
            line = document.where(f"{earlier.pointer}/id").line
            problems.append(diagnostic("OML013", at=document.where(f"{step.pointer}/id"), id=step.id, first=line))
    return problems


def _unknown(step: Step, needs: Iterable[str], ids: set[str], document: Document) -> list[Diagnostic]:
    problems = []
    at = document.where(f"{step.pointer}/needs")
    for needed in needs:
        if needed == step.id:
            problems.append(diagnostic("OML016", at=at, step=step.id))
        elif needed not in ids:
            hint = did_you_mean(needed, ids - {step.id})
            problems.append(diagnostic("OML015", at=at, hint=hint, step=step.id, needed=needed))
    return problems


def _cycles(steps: list[Step], document: Document) -> list[Diagnostic]:
    """Name each circle once: what is left when steps without unmet needs are taken away, followed from its first."""
    needs = {step.id: [n for n in step.needs if n != step.id] for step in steps}
    left = _in_circles(needs)
    problems = []
    for step in steps:
        if step.id not in left:
            continue
        circle = _follow(step.id, needs, left)
        left -= set(circle)
        if circle:
            at = document.where(f"{step.pointer}/needs")
            problems.append(diagnostic("OML017", at=at, cycle=" → ".join([*circle, circle[0]])))
    return problems


def _in_circles(needs: Mapping[str, list[str]]) -> set[str]:
    waiting = {step: {n for n in needed if n in needs} for step, needed in needs.items()}
    readers: dict[str, list[str]] = {step: [] for step in needs}
    for step, needed in waiting.items():
        for name in needed:
            readers[name].append(step)
    free = [step for step, needed in waiting.items() if not needed]
    left = set(needs)
    while free:
        done = free.pop()
        left.discard(done)
        for reader in readers[done]:
            waiting[reader].discard(done)
            if not waiting[reader]:
                free.append(reader)
    return left


def _follow(start: str, needs: Mapping[str, list[str]], left: set[str]) -> list[str]:
    path: list[str] = []
    seen: dict[str, int] = {}
    step: str | None = start
    while step is not None and step not in seen:
        seen[step] = len(path)
        path.append(step)
        step = next((n for n in needs[step] if n in left), None)
    return path[seen[step] :] if step is not None else []
