"""Which steps wait for which, and whose output they read: `needs` and `inputs` made explicit.

`inputs` names data; `needs` defaults to those steps. Without `inputs`, a step reads the output of the steps that it
needs, where there is one and it takes input. Without both, a step follows the one before it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from osiris.document import Document, join
from osiris.document.edits import drop, put
from osiris.errors import Diagnostic, certain, diagnostic, did_you_mean
from osiris.oml.remedies import SpareIds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from osiris.errors import Fix
    from osiris.model import ComponentSpec, JsonValue, Step

_REFERENCE = re.compile(r"@([A-Za-z0-9_-]+)|\$\{([A-Za-z0-9_-]+)\.df\}")
_INPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN = 8
_HINTS = 20
"""Unknown ids that get a suggestion; comparing thousands with thousands would take minutes."""


class Links:
    """Links the steps of one document and collects `problems`.

    `specs` has the installed components by name. `ids` are all ids of the file, including broken steps.
    """

    def __init__(self, document: Document, specs: Mapping[str, ComponentSpec], ids: Iterable[str]) -> None:
        self.problems: list[Diagnostic] = []
        self._document = document
        self._specs = specs
        self._ids = dict.fromkeys(ids)
        self._gives: dict[str, bool] = {}
        self._hints = _HINTS
        self._noted_inputs = False

    def link(self, steps: Sequence[Step], texts: Sequence[Mapping[str, JsonValue]]) -> list[Step]:
        """Return the steps with explicit needs and inputs; `texts` has them as written."""
        specs = {step.id: self._specs.get(step.component) for step in steps}
        self._gives = {step.id: spec.output if (spec := specs[step.id]) else step.mode != "write" for step in steps}
        self._duplicates(steps, texts)
        linked: list[Step] = []
        for step, text in zip(steps, texts, strict=True):
            linked.append(self._linked(step, text, linked[-1] if linked else None))
        self._cycles(linked)
        return linked

    def _linked(self, step: Step, text: Mapping[str, JsonValue], previous: Step | None) -> Step:
        needs = self._needs(step, text)
        if "inputs" in text:
            return self._with_inputs(step, needs, self._inputs(step, text["inputs"]), previous)
        follows = "needs" not in text and previous is not None and previous.id != step.id
        implied = previous if follows else None
        needs = needs if implied is None else [implied.id]
        inputs = self._implied_inputs(step, needs)
        if implied is not None and not inputs and step.component in self._specs:
            self._add("OML030", step.pointer, step=step.id, previous=implied.id)
        return replace(step, needs=tuple(dict.fromkeys(needs)), inputs=inputs)

    def _implied_inputs(self, step: Step, needs: list[str]) -> dict[str, str]:
        spec = self._specs.get(step.component)
        takes_input = step.mode != "read" if spec is None else spec.inputs[1] != 0
        return {needed: needed for needed in needs if takes_input and self._gives.get(needed)}

    def _with_inputs(self, step: Step, needs: list[str], inputs: dict[str, str], previous: Step | None) -> Step:
        """Return a step with explicit inputs: it waits for those besides its needs."""
        if previous is not None and {*inputs.values()} != {previous.id} and not self._noted_inputs:
            self._noted_inputs = True
            note = "inputs say what is read; earlier they were ignored"
            self._add("OML032", join(step.pointer, "inputs"), what=note)
        return replace(step, needs=tuple(dict.fromkeys([*needs, *inputs.values()])), inputs=inputs)

    def _needs(self, step: Step, text: Mapping[str, JsonValue]) -> list[str]:
        """Return the written needs that exist; the others are reported."""
        names = text.get("needs")
        needs = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        existing: dict[str, None] = {}
        for index, name in enumerate(needs):
            pointer = f"{step.pointer}/needs/{index}"
            if name in existing:
                self._add("OML038", pointer, fix=drop(pointer), key="needs", entry=f"'{name}'")
            elif self._exists(step, name, pointer, name):
                existing[name] = None
        return list(existing)

    def _inputs(self, step: Step, inputs: JsonValue) -> dict[str, str]:
        texts = inputs.items() if isinstance(inputs, dict) else ()
        sources = ((name, self._source(step, name, text)) for name, text in texts if isinstance(text, str))
        return {name: source for name, source in sources if source is not None}

    def _source(self, step: Step, name: str, text: str) -> str | None:
        """Return the step that an input reads; None if it is invalid, which is reported."""
        pointer, match = join(f"{step.pointer}/inputs", name), _REFERENCE.fullmatch(text)
        if not _INPUT_NAME.fullmatch(name):
            self._add("OML014", pointer, what="input", value=name[:60], pattern=_INPUT_NAME.pattern)
            return None
        if match is None:
            ids = [word for word in _NAME.findall(text[:200]) if word in self._ids]
            fix = put(pointer, f"@{ids[0]}") if len(ids) == 1 else ()
            self._add("OML018", pointer, fix=fix, name=name, found=f"'{text[:60]}'")
            return None
        source: str = match[1] or match[2]
        return source if self._exists(step, source, pointer, text) else None

    def _exists(self, step: Step, needed: str, pointer: str, text: str) -> bool:
        """Tell whether a named step exists and is another one; report it if not."""
        if needed == step.id:
            self._add("OML016", pointer, fix=drop(pointer) if text == needed else (), step=step.id)
        elif needed not in self._ids:
            others = [name for name in self._ids if name != step.id] if self._hints else []
            hint, match = did_you_mean(needed[:60], others), certain(needed[:60], others)
            self._hints = max(0, self._hints - 1)
            fix = put(pointer, text.replace(needed, match)) if match else ()
            self._add("OML015", pointer, hint=hint, fix=fix, step=step.id, needed=needed[:60])
        else:
            return True
        return False

    def _duplicates(self, steps: Sequence[Step], texts: Iterable[Mapping[str, JsonValue]]) -> None:
        first: dict[str, Step] = {}
        spare = SpareIds(self._document.data.get("steps"))
        for step in steps:
            earlier = first.setdefault(step.id, step)
            if earlier is not step:
                line = self._document.where(f"{earlier.pointer}/id").line
                pointer = f"{step.pointer}/id"
                fix = () if step.id in _used(texts) else put(pointer, spare.get(step.id))
                self._add("OML013", pointer, fix=fix, id=step.id, first=line)

    def _cycles(self, steps: Sequence[Step]) -> None:
        """Report cycles, each as its steps in order of need."""
        needs = {step.id: [name for name in step.needs if name in self._gives] for step in steps}
        cyclic, visited = _on_cycles(needs), set[str]()
        by_id = {step.id: step for step in steps}
        for step in steps:
            if circle := _follow(step.id, needs, cyclic, visited):
                shown = circle if len(circle) <= _SHOWN else [*circle[:_SHOWN], f"… ({len(circle)} steps)"]
                first, second, *_ = [*circle, circle[0]]
                at = self._need(by_id[first], second)
                self._add("OML017", at, cycle=" → ".join([*shown, first]))

    def _need(self, step: Step, needed: str) -> str:
        """Return the pointer of the entry of needs or inputs that names another step."""
        needs = self._document.value(f"{step.pointer}/needs")
        if isinstance(needs, list) and needed in needs:
            return f"{step.pointer}/needs/{needs.index(needed)}"
        return next(
            (join(f"{step.pointer}/inputs", n) for n, source in step.inputs.items() if source == needed), step.pointer
        )

    def _add(self, code: str, pointer: str, *, hint: str | None = None, fix: Fix = (), **params: object) -> None:
        self.problems.append(diagnostic(code, at=self._document.where(pointer), hint=hint, fix=fix, **params))


def _used(texts: Iterable[Mapping[str, JsonValue]]) -> set[str]:
    """Return the ids that steps refer to: with duplicates, the target is ambiguous."""
    return {word for step in texts for key in ("needs", "inputs") for word in _NAME.findall(str(step.get(key, "")))}


def _on_cycles(needs: Mapping[str, list[str]]) -> set[str]:
    """Return the steps on a cycle or between two cycles."""
    readers: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for other in needed:
            readers[other].append(name)
    return _prune(readers, needs, _prune(needs, readers, set(needs)))


def _prune(waits: Mapping[str, list[str]], followers: Mapping[str, list[str]], remaining: set[str]) -> set[str]:
    """Remove, repeatedly, the steps that wait for none of the remaining ones."""
    counts = {name: sum(other in remaining for other in waits[name]) for name in remaining}
    free = [name for name, count in counts.items() if not count]
    remaining = set(remaining)
    while free:
        ready = free.pop()
        remaining.discard(ready)
        for name in followers[ready]:
            if name in remaining:
                counts[name] -= 1
                if not counts[name]:
                    free.append(name)
    return remaining


def _follow(start: str, needs: Mapping[str, list[str]], cyclic: set[str], visited: set[str]) -> list[str]:
    """Return the cycle found by following the first need from a step; empty if it was visited."""
    path: dict[str, None] = {}
    step: str | None = start
    while step in cyclic and step not in visited:
        visited.add(step)
        path[step] = None
        step = next((name for name in needs[step] if name in cyclic), None)
    steps = list(path)
    return steps[steps.index(step) :] if step in path else []
