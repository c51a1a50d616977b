"""The whole suite as one test of pytest, a line for each promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from osiris.testing.behaviours import behaviours, check_behaviour, untried
from osiris.testing.component import check_component

if TYPE_CHECKING:
    from collections.abc import Callable

    from osiris.errors import Diagnostic
    from osiris.registry import Registry
    from osiris.testing.case import Case

SPEC = "does what its spec says"


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
        if found := _problems(promise, name, case, registry):
            pytest.fail("\n".join(f"{problem.code} {problem.message}" for problem in found), pytrace=False)

    return test


def _problems(promise: str, name: str, case: Case | None, registry: Registry | None) -> list[Diagnostic]:
    if promise == SPEC:
        return check_component(name, registry)
    return check_behaviour(name, promise, case, registry)
