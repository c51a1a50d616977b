"""How a component behaves when it runs: what is promised of all of its kind, each tried in a folder of its own.

`suite` is all of it, and whether the component does what its spec says, as one test of pytest with a line for each.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from osiris.errors import Diagnostic, OsirisError, diagnostic
from osiris.registry import Registry, load_registry
from osiris.secret import Secret
from osiris.testing.component import check_component
from osiris.testing.expectations import Attempt, Behaviour
from osiris.testing.promises import BEHAVIOURS
from osiris.testing.trial import Case, example_case, fresh_folder

if TYPE_CHECKING:
    from collections.abc import Callable


SPEC = "does what its spec says"


def behaviours(name: str, case: Case | None = None, registry: Registry | None = None) -> list[str]:
    """Return what can be tried of a component with a case, or with the first example of its spec."""
    known, applying = _known(name, case, registry)
    return [each.name for each in applying if _has_all(each, known)]


def untried(name: str, case: Case | None = None, registry: Registry | None = None) -> dict[str, Diagnostic]:
    """Return what cannot be tried because the case does not tell how, each with the note REG006."""
    known, applying = _known(name, case, registry)
    left = (each for each in applying if not _has_all(each, known))
    return {each.name: diagnostic("REG006", name=name, behaviours=each.name) for each in left}


def check_behaviour(
    name: str, behaviour: str, case: Case | None = None, registry: Registry | None = None
) -> list[Diagnostic]:
    """Return everything in which a component does not behave so; an empty list is a pass. The code is REG005.

    A refusal where none belongs is one of these problems; any other exception of a driver is not caught.
    """
    installed = registry or load_registry()
    spec = installed.get(name)
    known, applying = _known(name, case, installed)
    (tried,) = (each for each in applying if each.name == behaviour)
    with fresh_folder() as root:
        attempt = Attempt(spec, known, known.trial(installed, name, root))
        found: list[str] = []
        try:
            found.extend(tried.problems(attempt))
        except OsirisError as error:
            found.append(f"it is refused: {error}")
        found += _leaks(attempt, found)
    return [diagnostic("REG005", name=name, behaviour=behaviour, problem=problem) for problem in found]


def suite(name: str, case: Case | None = None, registry: Registry | None = None) -> Callable[[str], None]:
    """Return a test of everything that is promised of a component; to be assigned to a name that begins with `test`.

    It is skipped, with the note REG006, for what the case does not tell how to try. Fails with CMP001 at once if the
    component is not installed.
    """
    import pytest

    left = untried(name, case, registry)

    @pytest.mark.parametrize("promise", [SPEC, *behaviours(name, case, registry), *left])
    def test(promise: str) -> None:
        if promise in left:
            pytest.skip(f"{left[promise].code} {left[promise].message}; {left[promise].hint}")
        of_spec = promise == SPEC
        found = check_component(name, registry) if of_spec else check_behaviour(name, promise, case, registry)
        if found:
            pytest.fail("\n".join(f"{problem.code} {problem.message}" for problem in found), pytrace=False)

    return test


def _known(name: str, case: Case | None, registry: Registry | None) -> tuple[Case, list[Behaviour]]:
    spec = (registry or load_registry()).get(name)
    return case or example_case(spec), [each for each in BEHAVIOURS if each.mode in spec.modes and each.applies(spec)]


def _has_all(behaviour: Behaviour, case: Case) -> bool:
    return all(getattr(case, need) is not None for need in behaviour.needs)


def _leaks(attempt: Attempt, problems: list[str]) -> list[str]:
    """Return the secrets of the connection that were told, or written into artifacts."""
    artifacts = attempt.trial.root / ".step" / "artifacts"
    written = [path.read_text(encoding="utf-8", errors="replace") for path in artifacts.rglob("*") if path.is_file()]
    told = "\n".join([json.dumps(attempt.trial.told, default=repr, ensure_ascii=False), *problems, *written])
    secrets = {field: value for field, value in attempt.trial.fields().items() if isinstance(value, Secret)}
    return [f"it tells the secret '{field}'" for field, value in secrets.items() if value.reveal() in told]
