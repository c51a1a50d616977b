"""A whole set, held and graded: what came out in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.evaluation.cases import load_cases, load_worlds
from bench.evaluation.grade import Graded, grade
from bench.evaluation.hold import Held, hold
from bench.evaluation.worlds import lay_out

from osiris.errors import OsirisError
from osiris.runner.boundary import caught

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from bench.evaluation.cases import Case, World

    from osiris.chat.conversation import Options
    from osiris.model import JsonValue

VERDICTS = ("right", "asked", "refused", "failed", "wrong")


@dataclass(frozen=True, slots=True)
class Score:
    """All cases of a set, graded."""

    graded: tuple[Graded, ...]

    @property
    def wrong_without_asking(self) -> list[str]:
        """The cases in which something wrong was made and nobody was asked."""
        return [each.case.id for each in self.graded if each.is_wrong_without_asking]

    def table(self) -> dict[str, dict[str, int]]:
        """Return how many cases came to each verdict, by what was expected, and in all."""
        kinds = dict.fromkeys(each.case.expect for each in self.graded)
        return {name: _counts([g for g in self.graded if g.case.expect == name]) for name in kinds} | {
            "all": _counts(self.graded)
        }

    def to_json(self) -> dict[str, JsonValue]:
        """Return the figures, and every case."""
        held = [each.held for each in self.graded]
        tried = [each for each in held if each.validations]
        return {
            "cases": len(self.graded),
            "right": sum(each.verdict == "right" for each in self.graded),
            "wrong_without_asking": self.wrong_without_asking,
            "table": self.table(),
            "valid_at_first": [sum(each.validations[0] for each in tried), len(tried)],
            "valid_after_regeneration": [sum(any(each.validations[:2]) for each in tried), len(tried)],
            "questions": sum(len(each.questions) for each in held),
            "tokens": sum(each.usage.get(name) or 0 for each in held for name in ("input_tokens", "output_tokens")),
            "cost_usd": sum(each.usage.get("cost") or 0 for each in held),
            "each": [_case(each) for each in self.graded],
        }


def score_set(
    folder: Path,
    scratch: Path,
    options: Options,
    environ: Mapping[str, str],
    told: Callable[[Graded], None],
    only: Collection[str] = (),
) -> Score:
    """Hold and grade the cases of a set, or `only` those; each in a project of its own below `scratch`.

    Raises `LookupError` if the set is none or lacks one of `only`; fails with LLM… if whoever proposes cannot be had.
    """
    worlds, cases = load_worlds(folder), load_cases(folder)
    known = [case.id for case in cases]
    for name in only:
        if name not in known:
            raise LookupError(f"the set has no request {name!r}, but {', '.join(known)}")
    graded = []
    for case in cases:
        if not only or case.id in only:
            graded.append(_graded(case, worlds, scratch / case.id, options, environ))
            told(graded[-1])
    return Score(tuple(graded))


def _graded(
    case: Case, worlds: Mapping[str, World], place: Path, options: Options, environ: Mapping[str, str]
) -> Graded:
    """Return a case held and graded: whatever breaks in it is its own failure, and the others go on."""
    held = Held()

    def tried() -> Graded:
        project = lay_out(worlds[case.world], place)
        hold(case, project, options, environ, held)
        return grade(case, worlds[case.world], project, held)

    graded: Graded | None
    graded, error = caught(tried)
    if isinstance(error, OsirisError) and error.diagnostics[0].code.startswith("LLM"):
        raise error
    return graded or Graded(case, held, "failed", f"{type(error).__name__}: {error}")


def _counts(graded: Sequence[Graded]) -> dict[str, int]:
    found = Counter[str](each.verdict for each in graded)
    return {"cases": len(graded), **{name: found[name] for name in VERDICTS}}


def _case(graded: Graded) -> dict[str, JsonValue]:
    held = graded.held
    return {
        "id": graded.case.id,
        "request": graded.case.request,
        "expect": graded.case.expect,
        "verdict": graded.verdict,
        "why": graded.why,
        "questions": list(held.questions),
        "said": list(held.said),
    }
