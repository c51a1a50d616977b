"""What a compile need not find again: verdicts on SQL texts, and what transforms and writers said of their inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from osiris.cache import code_state
from osiris.compiler.build import plan_steps
from osiris.compiler.context import Question
from osiris.distribution import installed_version
from osiris.model import Described
from osiris.sql import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from osiris.cache import Cache
    from osiris.compiler.context import Prepared
    from osiris.model import ComponentSpec, JsonValue

T = TypeVar("T")

_OURS = "osiris.components."
"""Only of components of our own is it known when their code is another one."""


class KnownVerdicts(dict[Question, Verdict]):
    """Verdicts by question, those of earlier compiles among them; good ones are kept for later ones."""

    def __init__(self, cache: Cache) -> None:
        super().__init__()
        self._cache = cache
        self._code = [code_state(), installed_version("sqlglot")]

    def __missing__(self, question: Question) -> Verdict:
        answer = self._cache.get(self._key(question))
        if answer is None:
            raise KeyError(question)
        verdict = _read(Verdict.from_json, answer)
        if verdict is None:
            raise KeyError(question)
        super().__setitem__(question, verdict)
        return verdict

    def __setitem__(self, question: Question, verdict: Verdict) -> None:
        super().__setitem__(question, verdict)
        if verdict.ok:
            self._cache.put(self._key(question), verdict.to_json())

    def _key(self, question: Question) -> JsonValue:
        text, dialect, relations, parameters, functions = question
        named = None if relations is None else sorted(relations)
        return [*self._code, text, dialect, named, sorted(parameters), sorted(functions)]


def recall_answers(cache: Cache, prepared: Prepared, sources: Mapping[str, Described]) -> dict[str, Described]:
    """Return what is known of all steps, by id: what the sources said, and the answers that follow from it."""
    known = dict(sources)
    for step, key in _keys(prepared, known):
        answer = cache.get(key)
        described = None if answer is None else _read(Described.from_json, answer)
        if described is not None:
            known[step] = described
    return known


def _read(form: Callable[[JsonValue], T], answer: JsonValue) -> T | None:
    """Return an answer in its form; None if it has another one, whoever wrote it."""
    try:
        return form(answer)
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def keep_answers(
    cache: Cache, prepared: Prepared, described: Mapping[str, Described], known: Mapping[str, Described]
) -> None:
    """Keep the answers of the steps that were not known."""
    for step, key in _keys(prepared, described):
        if step not in known:
            cache.put(key, described[step].to_json())


def _keys(prepared: Prepared, described: Mapping[str, Described]) -> Iterator[tuple[str, JsonValue]]:
    """Yield each transform and writer all of whose inputs are described, with everything that its answer depends on."""
    code = [code_state(), dict(prepared.engines), sorted(prepared.pipeline.sensitive)]
    for step in plan_steps(prepared):
        spec = prepared.specs[step["component"]]
        if step["mode"] == "read" or not spec.module.startswith(_OURS):
            continue
        inputs = {name: described.get(source) for name, source in step["inputs"].items()}
        if all(inputs.values()):
            yield step["id"], [*code, *_own(step, spec, prepared), [_shown(each) for each in inputs.items()]]


def _own(step: Mapping[str, JsonValue], spec: ComponentSpec, prepared: Prepared) -> list[JsonValue]:
    fields = prepared.connections.get(step["connection"]) if step["connection"] else None
    return [spec.digest, step["id"], step["config"], step["inputs"], step["connection"], fields]


def _shown(item: tuple[str, Described | None]) -> list[JsonValue]:
    name, source = item
    schema = source.schema if source else None
    return [name, source and source.order, [[c.name, c.type, c.nullable] for c in schema or ()]]
