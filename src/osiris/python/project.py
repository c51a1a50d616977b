"""A project, and functions for the project of the working directory or of a file."""

from __future__ import annotations

import inspect
import os
import re
import signal
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias, TypeVar, cast

from osiris import api
from osiris.config import KEYS
from osiris.errors import OsirisError, did_you_mean, fail
from osiris.project import find_project
from osiris.python.errors import scrubbed, with_short_errors
from osiris.python.output import KeptFolder, Output
from osiris.python.results import Discovery, Kept, Plan, Run, RunFailed, Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from osiris.api import Traced as Lineage
    from osiris.api import Verdict, Workspace
    from osiris.model import JsonValue
    from osiris.runner.host.interrupts import Interrupts
    from osiris.runner.host.options import RunOptions

PathLike: TypeAlias = "str | os.PathLike[str]"
Pipeline: TypeAlias = "PathLike | Plan"
Params: TypeAlias = "Mapping[str, str | float | bool | date | Decimal | Sequence[str | float | bool | date | Decimal]]"
Progress: TypeAlias = "Callable[[dict[str, JsonValue]], None]"

_P = ParamSpec("_P")
_R = TypeVar("_R")

_SIGNALS = 128
"""What is added to the number of a signal for the exit code."""

_PATTERN = re.compile(r"[*?\[]")

PREVIEW_ROWS = 20
SAMPLE = 10_000


@dataclass(frozen=True)
class Project:
    """A project; get one with `open_project`. It is read again by each call, so that changed files count.

    Its methods are the functions of the same names, for this project.
    """

    root: Path
    """The folder with osiris.yaml."""
    profile: str | None = None
    """The profile of all calls."""
    settings: Mapping[str, JsonValue] = field(default_factory=dict, hash=False)
    """Settings that count before those of osiris.yaml, by key: `{"run.memory": "4GB"}`."""
    environ: Mapping[str, str] | None = field(default=None, repr=False, hash=False)
    """The variables of connections and settings; None for those of the process. `.env` is read as well."""

    @with_short_errors
    def run(  # noqa: PLR0913  the options of the command
        self,
        pipeline: Pipeline | None = None,
        *,
        params: Params | None = None,
        target: str | None = None,
        select: str | Sequence[str] | None = None,
        run_id: str | None = None,
        new_run: bool = False,
        resume: str | bool | None = None,
        strict: bool = False,
        keep: bool | str | Sequence[str] = True,
        check: bool = True,
        progress: Progress | None = None,
    ) -> Run:
        """Run a pipeline or a plan, as the command `osiris run` does, and return how it went.

        `pipeline` is a file, which is compiled first, a `Plan`, a file of one, or a fingerprint. `resume` is a session
        to resume, or True for the last one, without `pipeline`; the next call resumes a failed or stopped run anyway.

        `keep` names the steps whose rows `Run.output` returns: True for the last ones (a writer's are those that were
        given to it), a list of names, or False for none. They are in a private file until the `Run` is no longer used.

        `progress` gets each event, in a thread of its own. If it raises, the run is stopped, and this call raises the
        same when the run has ended. Raises `RunFailed` if the run does not complete, unless `check` is False, and
        `OsirisError` if there is nothing to run. Ctrl-C stops the run, and raises KeyboardInterrupt.

        >>> run = osiris.run("pipelines/example.yaml", params={"since": datetime.date(2025, 2, 1)})
        >>> run.status, run.steps["report"].rows_out
        ('complete', 4)
        >>> run.output("report").columns
        ('customer', 'orders', 'revenue')
        """
        from osiris.runner.host.options import RunOptions

        _check_choice(pipeline, run_id, resume, new_run=new_run)
        workspace = self._open({"run.target": target} if target else {})
        options = RunOptions(
            run_id=run_id,
            new_run=new_run,
            resume="last" if resume is True else resume or None,
            select=select if isinstance(select, str | None) else ",".join(select),
            environ=workspace.environ,
        )
        run, code = _run(workspace, pipeline, options, keep, progress, params=_texts(params), strict=strict)
        if run.status == "cancelled" and code > _SIGNALS:
            _pass_on(code)
        if check and not run.ok:
            raise RunFailed(run, code)
        return run

    @with_short_errors
    def compile(
        self, pipeline: Pipeline, *, params: Params | None = None, strict: bool = False, refresh: bool = False
    ) -> Plan:
        """Compile a pipeline into a plan, and write it to build/, as the command `osiris compile` does.

        With `strict`, warnings are errors; with `refresh`, schemas that are in osiris.lock are read again. Raises
        `OsirisError` with all problems.

        >>> plan = osiris.compile("pipelines/example.yaml")
        >>> list(plan.steps)
        ['orders', 'revenue', 'report']
        >>> osiris.run(plan.fingerprint).status
        'complete'
        """
        workspace = self._open()
        compiled = api.compile_file(
            workspace, _in_project(self.root, pipeline), params=_texts(params), strict=strict, refresh=refresh
        )
        compiled = replace(compiled, diagnostics=scrubbed(workspace, compiled.diagnostics))
        view = api.view_plan(workspace, compiled, explained=False)
        return Plan(workspace, compiled, view, self.root / api.save(workspace, compiled))

    @with_short_errors
    def validate(self, *pipelines: Pipeline, params: Params | None = None, strict: bool = False) -> Validation:
        """Check pipelines without connecting to anything; by default all of `pipelines/`.

        Findings are returned, not raised. Raises `OsirisError` if there is no such file.

        >>> osiris.validate("pipelines/example.yaml").ok
        True
        """
        workspace = self._open(asks_nobody=True)
        results = api.validate_files(
            workspace, [_in_project(self.root, each) for each in pipelines], params=_texts(params)
        )
        cleaned = [replace(each, diagnostics=scrubbed(workspace, each.diagnostics)) for each in results]
        return Validation(cleaned, strict=strict)

    @with_short_errors
    def preview(
        self,
        pipeline: Pipeline,
        step: str | None = None,
        *,
        rows: int = PREVIEW_ROWS,
        sample: int = SAMPLE,
        params: Params | None = None,
    ) -> Output:
        """Return the first rows of a step, computed from the first `sample` rows of each source (0: all of them).

        By default the step is the last writer's input, else the last step. Nothing is written. Raises `OsirisError` as
        compiling does, and with the problems of a step that fails.

        >>> osiris.preview("pipelines/example.yaml", "revenue", rows=2).arrow().to_pylist()[0]
        {'customer': 'Chloé Martin', 'orders': 2, 'revenue': Decimal('291.65')}
        """
        workspace = self._open()
        folder = KeptFolder(workspace)
        shown = api.preview_into(
            workspace, _in_project(self.root, pipeline), step, folder.path, params=_texts(params), sample=sample
        )
        name = shown.tables[-1].step
        notes = scrubbed(workspace, shown.diagnostics)
        return Output(name, workspace, folder, folder.path / f"{name}.arrow", rows, notes)

    @with_short_errors
    def discover(
        self, source: PathLike, tables: str | Sequence[str] = (), *, profile: bool = False, refresh: bool = False
    ) -> Discovery:
        """Return the tables and columns of a source: a connection (`@family.alias`), a file, URL or pattern of files.

        `tables` are names or patterns, `schema.table` for another schema. With `profile`, figures of the values are
        computed from a sample. Answers are kept until the source changes; `refresh` ignores them. Raises `OsirisError`
        if the source cannot be reached or read.

        >>> osiris.discover("data/orders.csv").tables["data/orders.csv"].columns[0]
        Field(name='order_id', type='int64', nullable=True)
        """
        workspace = self._open()
        names = [tables] if isinstance(tables, str) else tables
        discovery = api.discover(workspace, _in_project(self.root, source), names, profile=profile, refresh=refresh)
        return Discovery(
            api.project_scrubber(workspace).json(discovery.to_json()), scrubbed(workspace, discovery.diagnostics)
        )

    @with_short_errors
    def lineage(self, pipeline: Pipeline, column: str | None = None) -> Lineage:
        """Return the source columns that each column of a pipeline or plan is made of.

        `column` is STEP or STEP.COLUMN; by default all writers. Raises `OsirisError` with CMP042 or DAT005 if there is
        no such step or column.

        >>> osiris.lineage("pipelines/example.yaml", "report.revenue").steps[0].columns[0].origins[0].source
        'data/orders.csv#amount'
        """
        return api.trace(self._open(), column, _in_project(self.root, pipeline))

    @with_short_errors
    def verify(self, first: Run | str, second: Run | str) -> Verdict:
        """Compare what two runs wrote, as `osiris.verify`."""
        names = [run.session if isinstance(run, Run) else run for run in (first, second)]
        return api.verify(self._open(), names[0], names[1])

    @property
    def _workspace(self) -> Workspace:
        return self._open()

    def _open(self, settings: Mapping[str, JsonValue] | None = None, *, asks_nobody: bool = False) -> Workspace:
        """Open the project; lost runs are reported, unless nobody may be asked, with Python warnings for failures."""
        environ = os.environ if self.environ is None else self.environ
        workspace = api.open_project(self.root, environ, self.profile, {**self.settings, **(settings or {})})
        for each in scrubbed(workspace, [] if asks_nobody else api.report_lost(workspace)):
            if each.severity == "warning":
                warnings.warn(f"{each.code}: {each.message}", stacklevel=2)
        return workspace


def _run(
    workspace: Workspace,
    pipeline: Pipeline | None,
    options: RunOptions,
    keep: bool | str | Sequence[str],
    progress: Progress | None,
    *,
    params: Mapping[str, str],
    strict: bool,
) -> tuple[Run, int]:
    """Run, and return the run and the exit code of the command."""
    folder = KeptFolder(workspace) if keep is not False else None
    names = (keep,) if isinstance(keep, str) else None if isinstance(keep, bool) else tuple(keep)
    options = replace(options, keep=names, keep_in=folder.path if folder else None)
    target = None if pipeline is None else _in_project(workspace.root, pipeline)
    with _calling(progress) as (interrupts, report, raised):
        options = replace(options, interrupts=interrupts)
        result, notes = api.run_target(workspace, target, options, report, params=params, strict=strict)
        result.acknowledge()
    summary = api.show_session(workspace, result.session_id)
    diagnostics = scrubbed(workspace, [*notes, *result.diagnostics])
    kept = Kept(folder, names, is_new=bool(result.steps))
    if raised:
        raised[0].add_note(f"raised by progress: run {result.session_id} was stopped, and is {summary['status']}")
        raise raised[0]
    return Run(workspace, summary, diagnostics, kept), result.exit_code


@contextmanager
def _calling(progress: Progress | None) -> Iterator[tuple[Interrupts, Progress, list[BaseException]]]:
    """Provide a function that calls `progress` in a thread, what that raised, and the interrupts that this stops."""
    from osiris.runner.host.interrupts import Interrupts

    interrupts = Interrupts()
    raised: list[BaseException] = []

    def call(event: dict[str, JsonValue]) -> None:
        if progress and not raised:
            progress(event)

    def stop_if_raised(done: Future[None]) -> None:
        if error := done.exception():
            raised.append(error)
            interrupts.stop(signal.SIGINT)

    def report(event: dict[str, JsonValue]) -> None:
        caller.submit(call, event).add_done_callback(stop_if_raised)

    with ThreadPoolExecutor(1) as caller:
        yield interrupts, report, raised


def _check_choice(pipeline: Pipeline | None, run_id: str | None, resume: str | bool | None, *, new_run: bool) -> None:
    if sum(map(bool, (run_id, new_run, resume))) > 1:
        fail("PRJ008", problem="run_id, new_run and resume cannot be combined", hint="give one of them")
    if pipeline is None and not resume:
        fail("PRJ008", problem="no pipeline is given", hint="give a file, a plan, a fingerprint, or resume=True")


def _pass_on(code: int) -> None:
    """Give the signal that ended a run to the process, which had no part in it so far; code is 128 + its number."""
    number = signal.Signals(code - _SIGNALS)
    handler = signal.getsignal(number)
    if callable(handler):  # called, not raised again: an event loop was woken by the signal itself
        handler(number, None)
    else:
        signal.raise_signal(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt


def _text_of(name: Pipeline) -> str:
    """Return the name of a pipeline, plan or source as text; fails with PRJ008 for a value of another type."""
    if isinstance(name, Plan):
        return str(name.path)
    if not isinstance(name, str | os.PathLike):
        fail("PRJ008", problem=f"a {type(name).__name__} is no name", hint="give a file, a plan or a fingerprint")
    return os.fspath(name)


def _from_here(name: Any) -> str | None:  # noqa: ANN401  whatever the caller gives
    """Return a name as the working directory has it: the full path of files that exist, else the name as it is."""
    if name is None:
        return None
    text = _text_of(name)
    is_there = _is_path(text) and (_PATTERN.search(text) or os.path.exists(text))  # noqa: PTH110  "" is no path
    return os.path.abspath(text) if is_there else text  # noqa: PTH100  links stay


def _in_project(root: Path, name: Pipeline) -> str:
    """Return a name as a project has it: a file in its folder, never one of the same name in the working directory."""
    text = _text_of(name)
    is_there = _PATTERN.search(text) or (root / text).exists() or os.path.exists(text)  # noqa: PTH110  "" is no path
    return str(root / text) if _is_path(text) and is_there else text


def _is_path(text: str) -> bool:
    return not text.startswith("@") and "://" not in text and ("/" in text or "." in text)


def _texts(params: Params | None) -> dict[str, str]:
    """Return parameters as they are written for `osiris run --param`; fails with PRJ008 for other values."""
    return {name: _text(name, value) for name, value in (params or {}).items()}


def _text(name: str, value: Any) -> str:  # noqa: ANN401  whatever the caller gives
    if isinstance(value, list | tuple):
        return ",".join(_entry(name, each) for each in value)
    if not isinstance(value, str | int | float | date | Decimal):
        kinds = "str, int, float, bool, date, datetime, Decimal or a list of them"
        fail("PRJ008", problem=f"parameter '{name}' is a {type(value).__name__}", hint=f"give {kinds}")
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


def _entry(name: str, value: Any) -> str:  # noqa: ANN401  whatever the caller gives
    """Return an entry of a list; fails with PRJ008 for one that would be read as another, or as several."""
    text = "" if isinstance(value, list | tuple) else _text(name, value)
    if not text or "," in text or text != text.strip():
        problem = f"an entry of parameter '{name}' cannot be {value!r}"
        fail("PRJ008", problem=problem, hint="entries have no commas, no blanks at their ends, and are not empty")
    return text


@with_short_errors
def open_project(
    path: PathLike | None = None,
    *,
    profile: str | None = None,
    settings: Mapping[str, JsonValue] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Project:
    """Return the project at or above a folder: by default `OSIRIS_HOME`, else the working directory.

    `settings` count before those of osiris.yaml, by key. `environ` replaces the variables of the process for all that
    the project needs. Raises `OsirisError` with PRJ001 if there is no project.

    >>> project = osiris.open_project(settings={"run.memory": "1GB"})
    >>> project.validate().ok
    True
    """
    if unknown := [key for key in settings or () if key not in KEYS]:
        fail("PRJ002", key=unknown[0], hint=did_you_mean(unknown[0], KEYS))
    start = None if path is None else Path(path)
    root = find_project(start, os.environ if environ is None else environ).root
    return Project(root, profile, dict(settings or {}), None if environ is None else dict(environ))


def _project_of(path: str | None) -> Project:
    """Return the project of the working directory, or of a file that exists and is in another project."""
    if path is not None and os.path.exists(path):  # noqa: PTH110  may be a fingerprint or a connection
        try:
            return Project(find_project(Path(path).absolute().parent).root)
        except OsirisError:
            pass
    return Project(find_project(None, os.environ).root)


def _here(method: Callable[Concatenate[Project, _P], _R]) -> Callable[_P, _R]:
    """Return a method of `Project` as a function of the project that it is about.

    That is the project of the first file that is named, if it exists and is in one, else that of the working directory.
    """

    function: Callable[..., _R] = method

    @with_short_errors
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> _R:  # noqa: ANN401  those of the method
        most = len(args) if method is Project.validate else 1
        names = [_from_here(each) for each in args[:most]]
        given = {key: _from_here(value) if key in ("pipeline", "source") else value for key, value in kwargs.items()}
        name = names[0] if names else given.get("pipeline") or given.get("source")
        return function(_project_of(name), *names, *args[most:], **given)

    signature = inspect.signature(method)
    vars(call)["__signature__"] = signature.replace(parameters=[*signature.parameters.values()][1:])
    return cast("Callable[_P, _R]", call)


run = _here(Project.run)
compile = _here(Project.compile)  # noqa: A001  the name of the command
validate = _here(Project.validate)
preview = _here(Project.preview)
discover = _here(Project.discover)
lineage = _here(Project.lineage)


@with_short_errors
def verify(first: Run | str, second: Run | str) -> Verdict:
    """Compare what two runs wrote, by digest; each is a `Run`, a session, a run id, `last` or `previous`.

    Differences are returned, not raised. Raises `OsirisError` with RUN010 if there is no such run.

    >>> osiris.verify("previous", "last").same
    False
    """
    project = next((run._workspace.root for run in (first, second) if isinstance(run, Run)), None)
    return (Project(project) if project else _project_of(None)).verify(first, second)
