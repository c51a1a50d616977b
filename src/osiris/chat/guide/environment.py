"""The environment of the guide: the person, discovered sources, figures and plans."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, TypeVar

from osiris import api
from osiris.chat.choices import one_line, read_names
from osiris.chat.environment import (
    DRAFT,
    NOT_DISCOVERED,
    OUTSIDE,
    Environment,
    data_files,
    data_folders,
    source_of,
    writers_of,
)
from osiris.chat.guide.draft import EMPTY, RELATIONS, Answer, Draft, Look, as_text
from osiris.chat.guide.sources import option_of
from osiris.errors import OsirisError, fail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from osiris.api import Compiled, Preview, Workspace
    from osiris.chat.choices import Choices
    from osiris.chat.environment import UserInterface
    from osiris.chat.guide.draft import Ask, Option
    from osiris.chat.request import Request
    from osiris.model import JsonValue
    from osiris.runner.adapter import Worker
    from osiris.runner.host.preview import Table


class Listing:
    """The relations of a project, discovered in the background, and why a source is not listed."""

    def __init__(self, workspace: Workspace, queue: WorkerQueue) -> None:
        self._silent: dict[str, str] = {}
        self._workspace = workspace
        folders, connections = data_folders(workspace), map(str, workspace.references())
        self._by_source: dict[str, tuple[Option, ...]] = {
            folder: tuple(option_of(name, folder, name) for name in data_files(workspace.root, folder))
            for folder in folders
        }
        self._waiting = [*connections]
        self._queue: WorkerQueue | None = queue

    def start(self) -> None:
        """Start discovery, and import what the next questions need: while the first one is read, not before it."""
        queue, self._queue = self._queue, None
        if queue is None:
            return
        for folder in list(self._by_source):
            queue.do(partial(self._ask, folder))
        connections = [*self._waiting]
        for act in (_import_engine, lambda: [*map(self._ask, connections)]):
            threading.Thread(target=act, daemon=True).start()

    def offered(self, source: str = "") -> Offered:
        """Return the options of one source, or of all."""

        def own(names: Iterable[str]) -> list[str]:
            return [name for name in list(names) if source in ("", name)]

        return Offered(
            lambda: [option for name in own(self._by_source) for option in self._by_source[name]],
            lambda: own(self._waiting),
            lambda: {name: self._silent[name] for name in own(self._silent)},
            self.start,
        )

    def _ask(self, target: str, worker: Worker | None = None) -> None:
        try:
            discovery = api.discover(self._workspace, target, worker=worker).to_json()
            self._by_source[target] = _options(target, discovery)
        except OsirisError as error:
            diagnostic = error.diagnostics[0]
            if diagnostic.code != NOT_DISCOVERED:
                self._silent[target] = one_line(str(diagnostic), 300)
        finally:
            if target in self._waiting:
                self._waiting.remove(target)


def _import_engine() -> None:
    from osiris.chat.render import bound

    bound("SELECT 1 AS one", ())


def _options(target: str, discovery: Mapping[str, JsonValue]) -> tuple[Option, ...]:
    choices = read_names({"sources": [{**source_of(discovery), "target": target}], "writers": [], "silent": {}})
    return tuple(
        option_of(each.id, each.source, each.table, "" if each.rows is None else f"about {each.rows:,} rows")
        for each in choices.relations
    )


T = TypeVar("T")

_OF_WORKERS = "RUN"
"""Prefix of codes of a worker that died, or was stopped."""


class WorkerQueue:
    """Runs jobs in order with one worker, started by the first job."""

    def __init__(self, workspace: Workspace) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._workspace = workspace
        self._open = ExitStack()
        self._worker: Worker | None = None
        self._pool = ThreadPoolExecutor(1)

    def do(self, act: Callable[[Worker], T]) -> Future[T]:
        """Queue a job."""
        return self._pool.submit(self._do, act)

    def close(self) -> None:
        """Drop queued jobs and cancel the running one."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._worker:
            self._worker.cancel()

    def _do(self, act: Callable[[Worker], T]) -> T:
        try:
            return act(self._ready())
        except OsirisError as error:
            if error.diagnostics[0].code.startswith(_OF_WORKERS):
                self._worker = None
                self._open.close()
            raise

    def _ready(self) -> Worker:
        if self._worker is None:
            from osiris.runner.host.adapters import query_worker

            self._worker = self._open.enter_context(query_worker(self._workspace.project, self._workspace.config))
        return self._worker


ROWS = 5
MEASURED = 100_000
"""Most rows of each source for figures."""

_REASON = 400


Command = Literal["back", "look", "quit"]


@dataclass(frozen=True, slots=True)
class Offered:
    """The options available now, discovered from `start` on, and the sources that have not answered yet, or cannot."""

    available: Callable[[], Sequence[Option]]
    waiting: Callable[[], Sequence[str]]
    silent: Callable[[], Mapping[str, str]]
    start: Callable[[], None] = lambda: None


class Screen(Protocol):
    """The person's side of the guide, besides that of a conversation."""

    def choose(self, ask: Ask, options: Offered) -> Answer | Command:
        """Return the person's choice, text or command; raises `Waiting` if input has ended."""
        ...

    def say(self, text: str) -> None:
        """Show one or more lines."""
        ...

    def refuse(self, why: str) -> None:
        """Say why the last answer is rejected; fails with CHT055 if it cannot be asked again."""
        ...

    def rows(self, tables: Iterable[Table]) -> None:
        """Show the first rows of steps."""
        ...

    def wait(self, future: Future[T]) -> T:
        """Return the result of a job that may take a while and can be cancelled."""
        ...


Person: TypeAlias = tuple["UserInterface", Screen]
"""The interfaces of the person whom the guide asks."""


class GuideEnvironment(Environment):
    """The environment of a conversation, with the additions of the guide; must be closed."""

    def __init__(self, workspace: Workspace, person: Person, conversation: str, out: str, edits: Path | None) -> None:
        ui, screen = person
        super().__init__(workspace, None, ui, conversation, out=out)  # type: ignore[arg-type]
        self._project = workspace
        self._screen = screen
        self._edits = edits
        # The draft has the path where it will be saved, so that a name clash is rejected before the person agrees.
        self._draft = edits or workspace.root / out / PurePath(DRAFT).name
        self._queue = WorkerQueue(workspace)
        self._listing: Listing | None = None

    def close(self) -> None:
        """Stop the worker."""
        self._queue.close()

    def writers(self) -> JsonValue:
        """Return the available writers."""
        return writers_of(self._project)

    def start(self) -> JsonValue:
        """Return the edited pipeline, its name and the tables that it reads; None for a new pipeline.

        Fails with CHT056 if the guide has no choices for part of it.
        """
        if self._edits is None:
            return None
        from osiris.chat.parse_request import parse_request

        text = self._edits.read_text(encoding="utf-8")
        relations = (each for each in read_names(self.names("")).relations if each.table in text)
        answers = {each.id: (each.source, self.look_at(Look(each.id, each.source, each.table))) for each in relations}
        tables = {name: (source, answer["table"]) for name, (source, answer) in answers.items() if "table" in answer}
        request = parse_request(text, Draft(EMPTY, self.writers, tables).choices)
        if request is None or len(request.outputs) != 1:
            fail("CHT056", file=self._edits.name)
        used = {each.relation: tables[each.relation] for each in request.sources}
        return {"oml": text, "name": self._edits.stem, "tables": used}

    def choose(self, ask: Ask, draft: Draft) -> str:
        """Return the person's answer as recorded; rows are shown each time they are requested."""
        while True:
            answer = self._screen.choose(ask, self._options(ask))
            if isinstance(answer, Answer):
                wrong = _problem_of_flags(ask, answer, draft)
                if wrong is None:
                    return answer.recorded()
                self._screen.refuse(wrong)
            elif answer == "look":
                self._show_rows(draft)
            else:
                return answer

    def say(self, text: str) -> None:
        """Show one or more lines."""
        self._screen.say(text)

    def refuse(self, why: str) -> None:
        """Say why the last answer is rejected."""
        self._screen.refuse(why)

    def look_at(self, look: Look) -> JsonValue:
        """Return a table with its columns, keys and frequent values, or why it cannot be read."""

        def ask(worker: Worker) -> JsonValue:
            discovery = api.discover(self._project, look.source, [look.table], profile=True, worker=worker)
            return next(each for each in discovery.to_json()["tables"] if each["name"] == look.table)

        try:
            return {"table": self._screen.wait(self._queue.do(ask))}
        except (OsirisError, StopIteration) as error:
            reason = error.diagnostics[0].message if isinstance(error, OsirisError) else "it is not there any more"
            return {"reason": one_line(reason, _REASON)}

    def measure(self, request: Request, choices: Choices) -> JsonValue:
        """Return the only row of the last step; None if unavailable."""
        try:
            preview = self._preview(request, choices, MEASURED)
        except OsirisError:
            return None
        return None if preview.cut or not preview.tables[0].rows else list(preview.tables[0].rows[0])

    def plan(self, text: str, request: Request) -> JsonValue:
        """Return the compile result, what the plan does with rows, and what must be confirmed separately.

        `flags` are those of `osiris new` that confirm the same.
        """
        checked, compiled = self._screen.wait(self._queue.do(lambda worker: self.compiled(text, worker)))
        measured, multiplies = self._measured(compiled) if compiled else ([], False)
        outside = [one_line(each["message"], _REASON) for each in checked["diagnostics"] if each["code"] == OUTSIDE]
        has_file = any(each.path and (self._project.root / each.path).exists() for each in request.outputs)
        needed = {"--outside": outside, "--mode replace": has_file, "--multiplies": multiplies}
        flags = [flag for flag, is_needed in needed.items() if is_needed]
        return {**checked, "measured": measured, "confirm": [*outside, *self._overwritten(request)], "flags": flags}

    def _measured(self, compiled: Compiled) -> tuple[list[str], bool]:
        """Return the measurements of a plan, within a time limit, and whether a join multiplies rows, or may.

        Its first rows are shown; they are not recorded.
        """
        try:
            figures = api.read_back(self._project, compiled)
        except OsirisError as error:
            return [f"not measured: {error.diagnostics[0].message}"], False
        self._screen.rows(figures.outputs.values())
        return list(figures.lines()), bool(figures.multiplied)

    def _overwritten(self, request: Request) -> list[str]:
        sentences = []
        for each in request.outputs:
            if each.path and (self._project.root / each.path).exists():
                sentences.append(f"{each.path} is there already and will be overwritten.")
            if each.mode == "replace":
                sentences.append(f"All rows that table {each.table} of {each.connection} has now will be deleted.")
        return sentences

    def _show_rows(self, draft: Draft) -> None:
        if not draft.request.sources:
            self._screen.say("Nothing is read yet: choose a table or file first.")
            return
        from osiris.api.previews import SAMPLE

        try:
            preview = self._preview(draft.request, draft.choices, SAMPLE)
        except OsirisError as error:
            self._screen.say(str(error.diagnostics[0]))
            return
        self._screen.rows(preview.tables)
        if preview.cut:
            self._screen.say(f"on the first {SAMPLE:,} rows of {', '.join(preview.cut)}")

    def _preview(self, request: Request, choices: Choices, sample: int) -> Preview:
        """Return the first rows of the request so far."""
        text = as_text(replace(request, outputs=()), choices)
        path = self._project.root / DRAFT

        def look(worker: Worker) -> Preview:
            return api.preview(self._project, path, params={}, limit=ROWS, sample=sample, text=text, worker=worker)

        return self._screen.wait(self._queue.do(look))

    def _options(self, ask: Ask) -> Offered:
        if ask.source is None:
            return Offered(lambda: ask.options, tuple, dict)
        if self._listing is None:
            self._listing = Listing(self._project, self._queue)
        offered = self._listing.offered(ask.source.partition(":")[2])
        return offered if ask.source == RELATIONS else replace(offered, available=lambda: _tables(offered.available()))


def _problem_of_flags(ask: Ask, answer: Answer, draft: Draft) -> str | None:
    """Return why a typed line of flags is no answer; None for other answers."""
    if ask.typed != "flags" or not answer.text:
        return None
    from osiris.chat.guide.flag_line import problem_of_line

    return problem_of_line(draft, answer.text)


def _tables(options: Sequence[Option]) -> list[Option]:
    return [replace(each, key=each.label.partition("/")[2], label=each.label.partition("/")[2]) for each in options]
