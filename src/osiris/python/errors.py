"""Errors as callers in Python see them: short, with hints, and without secrets."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from osiris import api
from osiris.errors import Bug, OsirisError
from osiris.report.result import Shown
from osiris.secret import Scrubber, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from osiris.api import Workspace
    from osiris.errors import Diagnostic

_P = ParamSpec("_P")
_R = TypeVar("_R")


def with_short_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Raise errors with their hints, and Ctrl-C, without the frames of Osiris; those of its own bugs as they are.

    Secrets are removed; they are those of the first argument's `_workspace`, if it has one.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except Bug:
            raise
        except KeyboardInterrupt as stop:
            raise stop.with_traceback(None) from None
        except OsirisError as error:
            problem = error.with_traceback(None)
        problem.diagnostics = scrubbed(_workspace_of(args[0]) if args else None, problem.diagnostics)
        problem.args = (problems_text(problem.diagnostics),)
        raise problem from None

    return call


def _workspace_of(value: object) -> Workspace | None:
    """Return the open project of an object; None if it cannot be opened, and its secrets cannot be known."""
    try:
        return getattr(value, "_workspace", None)
    except OsirisError:
        return None


def scrubbed(workspace: Workspace | None, diagnostics: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return diagnostics without literal secrets, and without those of a project."""
    if not diagnostics:
        return ()
    clean = (api.project_scrubber(workspace) if workspace else Scrubber(())).text
    cleaned = (replace(each, message=clean(each.message), hint=each.hint and clean(each.hint)) for each in diagnostics)
    return tuple(map(redacted, cleaned))


def problems_text(diagnostics: Iterable[Diagnostic]) -> str:
    """Return errors as text: place, code, cause, and the hint on a line of its own; without errors, all of them."""
    items = list(diagnostics)
    errors = [item for item in items if item.severity == "error"] or items
    return "\n".join(f"{item}\n  hint: {item.hint}" if item.hint else str(item) for item in errors)


class OfProject(Shown):
    """A result of a project, which is shown without the project's secrets."""

    _workspace: Workspace

    @cached_property
    def _scrubber(self) -> Scrubber:
        return api.project_scrubber(self._workspace)

    def _clean(self, text: str) -> str:
        return self._scrubber.text(text)
