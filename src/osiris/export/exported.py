"""What a scheduler must know of a pipeline, whatever its format."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

from osiris import api
from osiris.api.workspace import find_file
from osiris.compiler.build import plan_steps
from osiris.config import NOTIFY_CHANNELS
from osiris.connections import environment_names, load_env, store_references
from osiris.distribution import own_version
from osiris.errors import fail, raise_all
from osiris.family_spec import family_of_connection
from osiris.oml.parse import load_document
from osiris.oml.schedule import Schedule, cron_problem, is_zone, schedule_of
from osiris.report.openlineage import datasets_of
from osiris.secret import is_secret_name
from osiris.secret.references import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from cronsim import CronSim

    from osiris.api import Workspace
    from osiris.compiler.context import Prepared
    from osiris.config import Config
    from osiris.model import JsonValue
    from osiris.report.openlineage import Dataset


_SHOWN = 60
_EITHER_DAY = ("airflow", "dagster", "prefect", "github", "kubernetes")
"""Formats whose schedulers differ from cron where days of the month and of the week are given, one of them with `*`."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the caller decides. None stands for the default of the format, or of the project.

    `folder` is the project's folder and `command` Osiris, where the scheduler runs them. `image` is the container's,
    and `package` what pip installs. `cron` and `zone` replace the schedule of the file.
    """

    params: Mapping[str, str]
    profile: str | None = None
    cron: str | None = None
    zone: str | None = None
    folder: str | None = None
    command: str | None = None
    image: str = ""
    package: str | None = None


@dataclass(frozen=True, slots=True)
class Exported:
    """A pipeline for a scheduler.

    `file` is relative to `folder`. `options` are those of `osiris run`. `variables` are the environment variables that
    connections, sensitive parameters, notifications, OpenLineage and OpenTelemetry need. `extras` are those of our
    package that a run needs. `reads` and `writes` are datasets as URIs, from their OpenLineage names.
    """

    format: str
    name: str
    file: str
    folder: str
    command: str
    options: tuple[str, ...]
    schedule: Schedule | None
    variables: tuple[str, ...]
    image: str = ""
    package: str | None = None
    extras: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The command line that runs the pipeline; the run id follows."""
        return [self.command, "-C", self.folder, "run", self.file, *self.options, "--run-id"]

    @property
    def head(self) -> str:
        """How its files begin: names are quoted in ASCII, so that they cannot end a comment."""
        about = f"# Runs the pipeline {self.name} of the file {json.dumps(self.file)} in {json.dumps(self.folder)}."
        return f"{about}\n# Made by 'osiris export {self.format}' of "

    def due(self) -> Schedule:
        """Return the schedule for a format that cannot do without; fails with EXP001."""
        if self.schedule is None:
            fail("EXP001", file=self.file, format=self.format)
        return self.schedule

    def refuse(self, text: str, problem: str) -> NoReturn:
        """Fail with EXP003 for a text that the format cannot hold."""
        fail(
            "EXP003",
            format=self.format,
            text=ascii(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"),
            problem=problem,
        )

    def comments(self, *lines: str, secrets: str) -> list[str]:
        """Return comment lines: the head, these, and `secrets`, where its variables come from, if it has any."""
        by_hand = [] if self.schedule else ["It has no schedule: it runs only when it is started by hand."]
        variables = [f"Variables: {', '.join(self.variables)}. {secrets}"] if self.variables else []
        made = f"{self.head}Osiris {own_version()}: to change it, export again."
        return [*made.split("\n"), *(f"# {line}" for line in (*by_hand, *lines, *variables))]


def export_of(workspace: Workspace, scheduler: str, file: str, choices: Choices) -> Exported:
    """Return a pipeline for the scheduler of a format.

    Fails as `validate_file`, with PRJ008, and with EXP003 to EXP005.
    Only `.env` sets variables: those of the caller are not those of the scheduler.
    """
    own = replace(workspace, environ=load_env(workspace.project.env_file, {}))
    path = _in_project(own, file)
    checked = api.validate_file(own, path, params=choices.params)
    if checked.prepared is None:
        raise_all(checked.diagnostics)
    folder, command = _places(workspace.root, scheduler, choices)
    relative = path.relative_to(workspace.root).as_posix()
    made = Exported(
        format=scheduler,
        name=checked.prepared.pipeline.name,
        file=f"./{relative}" if relative.startswith("-") else relative,
        folder=folder,
        command=command,
        options=tuple(_options(workspace.config.profile, choices.params)),
        schedule=_schedule(load_document(path, workspace.root).data, scheduler, choices),
        variables=tuple(dict.fromkeys(_variables(own, checked.prepared))),
        image=choices.image,
        package=choices.package,
        extras=tuple(sorted({*_extras(own.config, checked.prepared)})),
    )
    for text in (*made.words, made.image, made.package or ""):
        if any("\ud800" <= each <= "\udfff" for each in text):
            made.refuse(text, "it is not UTF-8")
    reads, writes = (tuple(_uris(checked.prepared, Path(folder), mode)) for mode in ("read", "write"))
    return replace(made, reads=reads, writes=writes)


def _extras(config: Config, prepared: Prepared) -> Iterator[str]:
    """Yield the extras with libraries that a run needs."""
    for reference in store_references([dict(prepared.connections), _references(config)]):
        if (store := OWN.get(reference.scheme)) and store.extra:
            yield store.extra
    yield from (extra for setting, extra in _EXTRAS.items() if config.get(setting))
    if config.get("run.target") == "e2b":
        yield "e2b"


def _in_project(workspace: Workspace, file: str) -> Path:
    """Return the path of a file of the project; fails with PRJ009, and EXP004 for one elsewhere."""
    given = find_file(workspace, file)
    path = Path(os.path.realpath(given.absolute().parent)) / given.name
    if not path.is_relative_to(workspace.root):
        fail("EXP004", file=file, root=workspace.root)
    return path


def _places(root: Path, scheduler: str, choices: Choices) -> tuple[str, str]:
    """Return the project's folder and the command where the scheduler runs it; fails with PRJ008."""
    find_folder, command = _ELSEWHERE.get(scheduler, (str, None))
    folder = choices.folder or find_folder(root)
    if not (folder.startswith("/") or scheduler == "github"):
        fail("PRJ008", problem=f"--folder {folder}: the path is relative", hint="give the whole path, as in /srv/shop")
    return folder, choices.command or (_own_command() if command is None else command)


def _options(profile: str | None, params: Mapping[str, str]) -> Iterator[str]:
    if profile:
        yield f"--profile={profile}"
    for name, text in params.items():
        yield from ("--param", f"{name}={text}")


def _in_repository(root: Path) -> str:
    """Return the folder of a project in its repository."""
    top = next((each for each in (root, *root.parents) if (each / ".git").exists()), root)
    return f"./{root.relative_to(top).as_posix()}" if root != top else "."


_EXTRAS = {"notify.apprise": "notify", "otel.enabled": "otel"}
"""Extras with libraries for what a setting turns on."""

_ELSEWHERE: dict[str, tuple[Callable[[Path], str], str]] = {
    "github": (_in_repository, ""),
    "kubernetes": (lambda _root: "/project", "osiris"),
}
"""Where the project and the command are by default if not where they are now, by format; "": it is installed."""


def _own_command() -> str:
    beside = Path(sys.executable).with_name("osiris")
    return str(beside) if beside.exists() else shutil.which("osiris") or "osiris"


def _schedule(data: Mapping[str, JsonValue], scheduler: str, choices: Choices) -> Schedule | None:
    """Return the schedule of the command line, else of the file; fails with PRJ008 for an invalid one, and EXP005."""
    own = schedule_of(data)
    if choices.cron:
        own = replace(own or Schedule(""), cron=choices.cron)
    if own is None:
        if choices.zone:
            fail("PRJ008", problem="--zone is the time zone of a schedule, and there is none", hint="add --cron")
        return None
    return _valid(replace(own, zone=choices.zone or own.zone, cron=" ".join(own.cron.upper().split())), scheduler)


def _valid(due: Schedule, scheduler: str) -> Schedule:
    """Return a schedule if it is valid, and the scheduler reads it as cron does; else fails with PRJ008 or EXP005."""
    if problem := cron_problem(due.cron):
        fail("PRJ008", problem=f"--cron {problem}", hint='write five fields, as in "0 2 * * *"')
    if not is_zone(due.zone):
        fail(
            "PRJ008", problem=f"--zone: '{due.zone}' is not the name of a time zone", hint="as in Europe/Prague, or UTC"
        )
    _, _, day, _, weekday = due.cron.split()
    if scheduler in _EITHER_DAY and "*" not in (day, weekday) and "*" in day + weekday:
        fail("EXP005", format=scheduler, cron=due.cron, day=day)
    return due


def digest(name: str) -> str:
    """Return what tells names apart that a format spells alike."""
    return hashlib.sha256(name.encode()).hexdigest()[:6]


def parsed(cron: str) -> CronSim:
    """Return a valid cron expression, with the values of its fields."""
    from cronsim import CronSim

    return CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))


def sunday_first(cron: str) -> str:
    """Return an expression without the day 7, which not all schedulers know."""
    *others, days = cron.split()
    if "7" not in days:
        return cron
    numbers = {day % 7 for day in parsed(cron).weekdays if isinstance(day, int)}
    return " ".join([*others, ",".join(map(str, sorted(numbers)))])


_LOGINS = {scheme: (*store.settings, *store.credentials) for scheme, store in OWN.items()}
"""Variables with which a secret store is opened, by scheme: one way to log in needs a part of them."""


_OTEL = tuple(f"OTEL_EXPORTER_OTLP_{name}" for name in ("ENDPOINT", "HEADERS", "CERTIFICATE"))
_OPENLINEAGE = ("OPENLINEAGE_URL", "OPENLINEAGE_API_KEY", "OPENLINEAGE_NAMESPACE")


def _variables(workspace: Workspace, prepared: Prepared) -> Iterator[str]:
    fields = [dict(prepared.connections), _references(workspace.config)]
    yield from environment_names(fields)
    schemes = {reference.scheme for reference in store_references(fields)}
    yield from (name for scheme in sorted(schemes) for name in _LOGINS.get(scheme, ()))
    yield from _standard(workspace)
    yield from (f"OSIRIS_PARAM_{name.upper()}" for name in prepared.pipeline.sensitive)


def _references(config: Config) -> list[JsonValue]:
    """Return the references to variables and stores in settings with which runs are reported, as written."""
    named = [text for name in NOTIFY_CHANNELS for text in config.get(f"notify.{name}") or ()]
    key = config.get("openlineage.api_key") if config.get("openlineage.url") else None
    return [f"${{{text}}}" for text in (*named, key) if text]


def _standard(workspace: Workspace) -> Iterator[str]:
    """Yield the standard variables with which runs are reported, if that is enabled."""
    if workspace.config.get("openlineage.enabled"):
        yield from _OPENLINEAGE
    if workspace.config.get("otel.enabled"):
        yield from (*_OTEL, *sorted(name for name in workspace.environ if name.startswith("OTEL_")))


def _uris(prepared: Prepared, folder: Path, mode: str) -> Iterator[str]:
    """Yield the datasets that are read or written, without those whose names change with each run."""
    addresses = {reference: _address(reference, fields) for reference, fields in prepared.connections.items()}
    steps = [step for step in plan_steps(prepared) if step["mode"] == mode]
    datasets = (each for step in steps for each in datasets_of(step, addresses, folder, {}))
    yield from dict.fromkeys(uri_of(each) for each in datasets if "${" not in each.name + each.namespace)


_UNNAMED = ("user", "username")
"""Fields that are no part of a dataset's name."""


def _address(reference: str, fields: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """Return the fields of a connection as written; none if a variable decides where it leads."""
    schemas: Mapping[str, JsonValue] = family_of_connection(reference).fields.get("properties", {})
    plain = {
        name: value
        for name, value in fields.items()
        if not (is_secret_name(name) or schemas.get(name, {}).get("x-secret") or name in _UNNAMED)
    }
    return {} if any("${" in str(value) for value in plain.values()) else plain


def uri_of(dataset: Dataset) -> str:
    """Return a dataset as a URI in ASCII, in the form that Airflow standardizes (AIP-60) where that names one."""
    namespace, name = dataset.namespace, dataset.name
    if namespace == "file":
        return f"file://{quote(name)}"
    if "://" not in namespace:
        return f"osiris://{quote(namespace.lstrip('@'))}/{quote(name)}"
    parts: Iterable[str] = name.split(".") if namespace.startswith(("postgres:", "mysql:")) else [name]
    return f"{quote(namespace, safe=':/@[]')}/{'/'.join(quote(part) for part in parts)}"
