"""What all pages need: the project as it is now, what is known of it, and how a page is answered."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup
from starlette.responses import HTMLResponse

from osiris import api
from osiris.errors import OsirisError
from osiris.files import file_state
from osiris.project import Project
from osiris.report.template import own, policy, render
from osiris.secret import mask_values
from osiris.ui.records import Records
from osiris.ui.starts import Starts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from osiris.api import Workspace
    from osiris.errors import Diagnostic
    from osiris.files import FileState
    from osiris.secret import Scrubber
    from osiris.ui.access import Access
    from osiris.ui.settings import Settings

    Event = Mapping[str, str]
    """What happens to a server: the key `event` says what."""

_FOLDER = Path(__file__).parent


class Page(NamedTuple):
    """A page of the navigation: its title, its path, and the routes of it and of what belongs to it."""

    title: str
    path: str
    routes: Sequence[BaseRoute]


class Site(NamedTuple):
    """What each page shows around its content: the project, the pages, the path of the current one, what is allowed.

    `csrf` is the token that each form sends.
    """

    project: str
    pages: Sequence[Page]
    here: str
    allow_run: bool
    csrf: str


def _never() -> bool:
    return False


@dataclass(slots=True)
class App:
    """The state of one server; `report` shows an event in its terminal, `is_stopping` is whether it ends."""

    settings: Settings
    access: Access
    pages: Sequence[Page]
    report: Callable[[Event], None]
    is_stopping: Callable[[], bool] = _never
    records: Records = field(default_factory=Records)
    starts: Starts = field(default_factory=Starts)
    _fragments: dict[str, tuple[object, Markup]] = field(default_factory=dict)
    _opened: tuple[tuple[FileState, ...], Workspace] | None = None
    _scrubbing: tuple[Workspace, Scrubber] | None = None
    _lock: Lock = field(default_factory=Lock)

    def workspace(self) -> Workspace:
        """Return the project with its present settings; fails as `api.open_project`."""
        project, settings = Project(self.settings.root), self.settings
        files = (project.config_file, project.env_file, project.connections_file, project.lock_file)
        state = tuple(map(file_state, files))
        with self._lock:
            if self._opened is None or self._opened[0] != state:
                self._opened = state, api.open_project(project.root, settings.environ, settings.profile)
            return self._opened[1]

    def clean(self, text: str) -> str:
        """Return a text without the secrets of the project; those known before, if it cannot be read now."""
        with suppress(OsirisError):
            workspace = self.workspace()
            if self._scrubbing is None or self._scrubbing[0] is not workspace:
                self._scrubbing = workspace, api.project_scrubber(workspace)
        return self._scrubbing[1].text(text) if self._scrubbing else text

    def problems(self, diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
        """Return diagnostics as pages show them: without secrets, and without values of data unless they are shown."""
        shown = diagnostics if self.settings.show_values else map(mask_values, diagnostics)
        return [replace(each, message=self.clean(each.message), hint=self.clean(each.hint or "")) for each in shown]

    def site(self, here: str) -> Site:
        """Return what is around the content of a page of the navigation."""
        return Site(self.settings.root.name, self.pages, here, self.access.allow_run, self.access.csrf)

    def show(
        self, here: str, template: str, *, styles: Sequence[str] = (), scripts: Sequence[str] = (), **words: object
    ) -> HTMLResponse:
        """Answer with a page rendered from a template of this folder.

        `styles` and `scripts` are files of this folder or that of the reports, in addition to those of all pages.
        """
        style, script = (own(*map(_place, names)) for names in (("page.css", *styles), ("copy.js", *scripts)))
        csp = policy([style], [script], served=True)
        return HTMLResponse(
            render(template, _FOLDER, csp=csp, style=style, script=script, site=self.site(here), **words)
        )

    def fragment(self, name: str, template: str, value: object) -> Markup:
        """Return the part of a page with this name, rendered for a `value`; from before, if the value is the same."""
        kept = self._fragments.get(name)
        if kept is None or kept[0] != value:
            kept = self._fragments[name] = value, self.part(template, value)
        return kept[1]

    def part(self, template: str, value: object) -> Markup:
        """Return a part of a page, rendered for a `value`."""
        return Markup(render(template, _FOLDER, value=value))  # noqa: S704 - of our templates


def _place(name: str) -> str:
    """Return the full path of a file of this folder; the name of any other one, which is of the reports."""
    path = _FOLDER / name
    return str(path) if path.exists() else name


def app_of(request: Request) -> App:
    """Return the app of the server that got a request."""
    app: App = request.app.state.app
    return app
