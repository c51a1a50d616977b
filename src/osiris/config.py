"""The settings of a project, each with its origin.

Precedence: command line > environment (`OSIRIS_RUN__MEMORY`) > profile > osiris.yaml > default. `KEYS` lists all
settings; other keys are an error, except those of the earlier implementation, which cause a warning.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from osiris.distribution import registered
from osiris.document import escape, load_text, read_document
from osiris.errors import Diagnostic, Location, diagnostic, did_you_mean, fail, has_errors, raise_all, sort_diagnostics
from osiris.model import StoreReference, whole_reference
from osiris.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from osiris.document import Document
    from osiris.model import JsonValue
    from osiris.project import Project


OWN_TARGETS = ("local", "bwrap", "e2b")

TARGETS = "osiris.targets"
"""The entry-point group for further targets from packages."""


def _target(value: object) -> object | None:
    """Return the name of an existing target; installed packages are searched only for unknown names."""
    if value in OWN_TARGETS:
        return value
    return value if isinstance(value, str) and registered(TARGETS, value) else None


A_TARGET = (_target, f"one of {', '.join(OWN_TARGETS)}, or a target from an installed package")
"""The parser of a target's name, and its description in messages."""


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its parser (returns None for an invalid value), a description of valid values, default, purpose."""

    parse: Callable[[object], object | None]
    expected: str
    default: str | int | None
    purpose: str


def _count(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _bytes(value: object) -> int | None:
    """Return a size; a bare number is bytes, as in the earlier implementation."""
    return (_count(value) or None) if isinstance(value, str) and value.isdigit() else parse_size(value)


def _retry(value: object) -> dict[str, object] | None:
    """Return the mapping, given as JSON in a variable; the failure kinds in `on` are validated by steps."""
    with suppress(ValueError):
        value = json.loads(value) if isinstance(value, str) else value
    parsers: dict[str, Callable[[object], object | None]] = {"max": _count, "backoff": parse_duration, "on": _texts}
    if not isinstance(value, dict) or not all(key in parsers and parsers[key](value[key]) is not None for key in value):
        return None
    return value


def _texts(value: object) -> list[object] | None:
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _folders(value: object) -> tuple[str, ...] | None:
    """Return a list of folders, separated by ':' in a variable, as in PATH."""
    value = [text for text in value.split(os.pathsep) if text] if isinstance(value, str) else value
    folders = _texts(value)
    if folders is None or any(not str(text).strip() or str(text).startswith("~") for text in folders):
        return None
    return tuple(map(str, folders))


def _words(*names: str) -> Callable[[object], object | None]:
    """Return a parser for a list of some of these words."""

    def parse(value: object) -> tuple[str, ...] | None:
        given = _listed(value)
        return given if given is not None and set(given) <= {*names} else None

    return parse


def _listed(value: object) -> tuple[str, ...] | None:
    """Return a list of words, separated by commas or spaces in a variable."""
    value = re.split(r"[,\s]+", value.strip()) if isinstance(value, str) else value
    texts = _texts(value)
    return None if texts is None else tuple(dict.fromkeys(map(str, texts)))


def _references(value: object) -> tuple[str, ...] | None:
    """Return what is between `${` and `}` in a list of references to variables or secret stores, or in one.

    Commands (`cmd:`) are no secret store.
    """
    value = re.split(r"(?<=\})[,\s]+(?=\$)", value.strip()) if isinstance(value, str) else value
    names = [_variable_or_secret(str(text)) for text in _texts(value) or ()]
    return tuple(dict.fromkeys(filter(None, names))) if names and all(names) else None


def _variable_or_secret(text: str) -> str | None:
    """Return what is between `${` and `}` if it names a variable, or a secret of a store."""
    reference = whole_reference(text)
    if isinstance(reference, StoreReference):
        return None if reference.scheme == "cmd" else reference.text
    return reference


def _flag(value: object) -> bool | None:
    words = {"true": True, "false": False}
    return value if isinstance(value, bool) else words.get(value) if isinstance(value, str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _dollars(value: object) -> float | None:
    """Return an amount of money, given as text in a variable."""
    with suppress(ValueError):
        value = float(value) if isinstance(value, str) else value
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e9
    return float(value) if fits and isinstance(value, int | float) else None


def _one_of(*names: str) -> tuple[Callable[[object], object | None], str]:
    """Return a parser for one of these words, and its description."""
    return lambda value: value if value in names else None, f"one of {', '.join(names)}"


def _matching(pattern: str) -> Callable[[object], str | None]:
    """Return a parser for text that fully matches a pattern; it returns the group `value`."""

    def parse(value: object) -> str | None:
        match = re.fullmatch(pattern, value) if isinstance(value, str) else None
        return match["value"] if match else None

    return parse


_MAX_PARTS = 10_000
_YES_NO = "true or false"
_SIZE = (parse_size, "a size like 2GB or 512MiB")
_TIME = (parse_duration, "a duration like 90s, 5m or 6h")
_WAIT = (lambda value: 0.0 if value in (0, "0", "0s") else parse_duration(value), "a duration like 90s or 10m, or 0")
_FOLDERS = (_folders, "a list of folders, absolute or relative to the project, without ~")
_VARIABLE = (_matching(r"\$\{(?P<value>[A-Za-z_][A-Za-z0-9_]*)\}"), 'a variable, as "${NAME}"')
_REFERENCES = (_references, 'a variable, as "${NAME}", a secret of a store, or a list of them')
_AS_A_VARIABLE = (
    'write the value into .env as NAME=VALUE, and "${NAME}" here; '
    "a default, as in ${NAME:-VALUE}, and a command are not allowed"
)
_EVENTS = ("failure", "recovery", "late", "drift", "rejected")
_ADDRESS = (
    _matching(r"(?P<value>https?://[^\s/?#@]+(/[^\s?#@]*)?)"),
    "an address like https://host:5000, without a password",
)
_MAPPING, _PROFILES = "a mapping", "a mapping of profiles"
_PARTS = (lambda value: n if 1 <= (n := _count(value) or 0) <= _MAX_PARTS else None, "a number from 1 to 10000")
_SOME = (lambda value: _count(value) or None, "a number above 0")

RULES = "rules"
"""A provider of earlier versions, still accepted here and rejected only by conversations."""

NOTIFY_CHANNELS = ("webhook", "slack", "email", "apprise")
"""The channels of notifications; each has a setting below `notify` that names the variables of its addresses."""

_GEMINI = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
PROVIDERS: dict[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY", "CLAUDE_API_KEY"),
    "gemini": _GEMINI,
    "google": _GEMINI,
    "compatible": (),
}
"""Model providers with the variables that usually contain the API key; google is an alias of gemini."""


KEYS: dict[str, Key] = {
    "run.memory": Key(*_SIZE, "2GB", "memory limit of the worker"),
    "run.threads": Key(_count, "a number of threads, 0 for one per core", 0, "threads of the worker"),
    "run.parallel": Key(_count, "a number of steps, 0 for one per core", 0, "how many steps may run at once"),
    "run.partitions": Key(*_PARTS, None, "in how many parts each SQL step is computed that can be cut"),
    "run.spool_limit": Key(*_SIZE, "20GB", "disk space for outputs that several steps read"),
    "run.continue_within": Key(*_TIME, "6h", "how long a run that failed can be resumed"),
    "run.wait": Key(*_WAIT, "10m", "how long a run waits for one of its pipeline or with its target; 0: do not wait"),
    "run.step_timeout": Key(*_TIME, None, "maximum duration of a step"),
    "run.target": Key(*A_TARGET, "local", "where runs run"),
    "run.bwrap.network": Key(*_one_of("none", "allow"), "none", "whether a run in bubblewrap may use the network"),
    "run.remote.upload_limit": Key(*_SIZE, "1GB", "maximum size of files that a run sends to a remote target"),
    "run.remote.fetch_limit": Key(*_SIZE, "1GB", "maximum size of files that a run fetches from a remote target"),
    "run.e2b.template": Key(_text, "a name", None, "template of sandboxes; default: that of this version"),
    "run.e2b.install_deps": Key(
        _flag, _YES_NO, "false", "install packages missing from the template, once for all runs"
    ),
    "run.e2b.cpu": Key(*_SOME, 2, "CPUs of a template that is built"),
    "run.e2b.memory": Key(*_SIZE, "4GiB", "memory of a template that is built"),
    "run.e2b.timeout": Key(*_TIME, "1h", "maximum lifetime of the sandbox of a run"),
    "paths.read": Key(*_FOLDERS, None, "folders outside the project that steps may read"),
    "paths.write": Key(*_FOLDERS, None, "folders outside the project that steps may write"),
    "schedule.late_after": Key(*_TIME, "10m", "how long after its due time a run that did not start is late"),
    "openlineage.file": Key(_text, "a path", None, "file to which OpenLineage events of runs are appended"),
    "openlineage.url": Key(*_ADDRESS, None, "server to which OpenLineage events are sent"),
    "openlineage.api_key": Key(*_VARIABLE, None, "variable with the key for openlineage.url"),
    "openlineage.namespace": Key(_text, "a name", "osiris", "namespace of pipelines in OpenLineage events"),
    "openlineage.timeout": Key(*_TIME, "5s", "how long a run waits for that server at its end"),
    "openlineage.enabled": Key(
        _flag, "true or false", "false", "read OPENLINEAGE_URL, _API_KEY and _NAMESPACE from the environment"
    ),
    "notify.events": Key(
        _words(*_EVENTS),
        f"a list of some of {', '.join(_EVENTS)}",
        "failure recovery late",
        "events that are reported",
    ),
    "notify.webhook": Key(*_REFERENCES, None, "variables with addresses to which events are posted as JSON"),
    "notify.slack": Key(*_REFERENCES, None, "variables with addresses of incoming webhooks of Slack"),
    "notify.email": Key(*_REFERENCES, None, "variables like smtps://USER:PASSWORD@HOST/?from=ADDRESS&to=ADDRESS"),
    "notify.apprise": Key(*_REFERENCES, None, "variables with addresses of services that apprise supports"),
    "notify.timeout": Key(*_TIME, "10s", "how long a run waits at its end for all of them"),
    "otel.enabled": Key(_flag, _YES_NO, "false", "send spans and metrics of runs by OTLP, as the OTEL_* variables say"),
    "otel.timeout": Key(*_TIME, "5s", "how long a run waits for the collector at its end"),
    "aiop.enabled": Key(_flag, _YES_NO, "true", "write a package (AIOP) after every run"),
    "aiop.policy": Key(*_one_of("core", "annex", "custom"), "core", "annex also writes every event to an annex"),
    "aiop.max_core_bytes": Key(
        _bytes, "a size like 300kB", 300_000, "maximum size of a package; its answer is never cut"
    ),
    "aiop.timeline_density": Key(*_one_of("low", "medium", "high"), "medium", "how many events a package includes"),
    "aiop.metrics_topk": Key(_count, "a number of metrics", 100, "how many metrics a package includes"),
    "aiop.schema_mode": Key(
        *_one_of("summary", "detailed"), "summary", "detailed also includes the columns of each step"
    ),
    "aiop.delta": Key(*_one_of("previous", "none"), "previous", "what to compare with: the last success or nothing"),
    "aiop.run_card": Key(_flag, _YES_NO, "true", "also write a run card in Markdown, for people"),
    "aiop.annex.enabled": Key(_flag, _YES_NO, "false", "the same as aiop.policy annex"),
    "aiop.annex.compress": Key(*_one_of("none", "gzip"), "none", "compress the files of the annex"),
    "aiop.index.enabled": Key(_flag, _YES_NO, "true", "add each package to the catalog of the project"),
    "chat.provider": Key(
        _one_of(*PROVIDERS, RULES)[0], f"one of {', '.join(PROVIDERS)}", None, "model provider of conversations"
    ),
    "chat.model": Key(_text, "a name", None, "model name; optional except for compatible"),
    "chat.fallback_model": Key(_text, "a name", None, "model of the same provider to use when the first one fails"),
    "chat.base_url": Key(*_ADDRESS, None, "URL of the provider; required for compatible only"),
    "chat.api_key": Key(*_VARIABLE, None, "variable with the API key; default: the provider's usual variable"),
    "chat.timeout": Key(*_TIME, "2m", "timeout of one model answer"),
    "chat.requests_per_minute": Key(*_SOME, None, "maximum requests per minute; further requests wait"),
    "chat.tokens_per_minute": Key(*_SOME, None, "maximum tokens per minute; further requests wait"),
    "chat.max_tokens_per_conversation": Key(*_SOME, 500_000, "maximum tokens of a conversation"),
    "chat.max_cost": Key(_dollars, "US dollars like 1.50", None, "maximum cost of a conversation"),
    "chat.context_tokens": Key(*_SOME, 16_000, "approximate tokens of a request spent on discovery results"),
    "chat.conventions": Key(_text, "a text", None, "conventions of this project, in words for the model"),
    "chat.samples": Key(*_one_of("none", "masked", "raw"), "none", "sample rows that the model may see"),
    "chat.output": Key(_text, "a folder below output/ or pipelines/", "output", "where pipelines are saved"),
    "chat.answers": Key(
        *_one_of("auto", "native", "tool", "json"),
        "auto",
        "how structured answers are requested; auto picks the best way",
    ),
    "defaults.retry": Key(_retry, "a mapping of max, backoff and on", None, "default retry of steps; part of the plan"),
    "defaults.timeout": Key(*_TIME, None, "default timeout of steps; part of the plan"),
}
"""All settings. Sizes are bytes (int), durations seconds (float), None means no limit."""

SECTIONS = (
    "run",
    "run.bwrap",
    "run.remote",
    "run.e2b",
    "paths",
    "schedule",
    "openlineage",
    "notify",
    "otel",
    "chat",
    "aiop",
    "aiop.annex",
    "aiop.index",
    "defaults",
    "profiles",
)
_BLOCKS = tuple(name for name in SECTIONS if "." not in name)

NOT_YET = {
    "defaults.cast": "write 'cast' in the config of the step",
    "defaults.on_reject": "remove it",
    "defaults.checks": "write 'checks' in the config of the step",
    "defaults.cursor": "write 'cursor' in the config of the step, or in 'defaults' of an entry of 'replicate'",
    "defaults.deletes": "write 'deletes' in the config of the step, or in 'defaults' of an entry of 'replicate'",
    "defaults.max_cell_bytes": "set max_cell_bytes in the config of the step, where its component has it",
    "defaults.deterministic": "set run.threads to 1",
}
"""Reserved step keys for which a project cannot set a default yet, and the alternatives."""

_BELOW_ROOT = "paths are relative to the folder of osiris.yaml; remove it"
EARLIER_KEYS = {
    "version": None,
    "discovery": None,
    "filesystem": _BELOW_ROOT,
    "ids": "pass --run-id to fix the key of a run; remove it",
    "llm": "its keys are provider, model, fallback_model and the like of the block chat; move them there",
    "logging": "sessions are always kept in logs/; remove it",
    "output": "name the path in the step that writes; remove it",
    "pipeline": "all SQL is checked by its syntax tree; remove it",
    "sessions": None,
    "validate": "validation is always strict; remove it",
    "validation": None,
}
"""Blocks of the earlier implementation's osiris.yaml, with a hint where one is useful."""

_BESIDE = "a package is always in its session, in logs/SESSION/aiop/; remove it"
_SWEPT = "'osiris logs gc' removes old sessions with their packages; remove it"
EARLIER_BELOW = {
    "aiop.use_session_dir": _BESIDE,
    "aiop.output": _BESIDE,
    "aiop.path_vars": _BESIDE,
    "aiop.annex.dir": _BESIDE,
    "aiop.index.runs_jsonl": "the catalogue is .osiris/runs.jsonl; remove it",
    "aiop.index.by_pipeline_dir": "the catalogue is .osiris/runs.jsonl; remove it",
    "aiop.index.latest_symlink": "latest.json is next to each package; remove it",
    "aiop.retention": _SWEPT,
    "aiop.narrative": "the narrative takes the description of the pipeline; remove it",
}
"""Earlier keys in blocks that still exist, which have no effect, and hints."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A candidate value of one key: typed, its origin, and as written."""

    value: Any
    origin: str
    written: JsonValue = None


@dataclass(frozen=True, slots=True)
class Config:
    """All settings; each key has its candidates, the effective one first. `diagnostics` are warnings."""

    settings: Mapping[str, tuple[Setting, ...]]
    profile: str | None = None
    profiles: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    earlier: tuple[Diagnostic, ...] = ()
    """The warnings about keys of earlier versions that `diagnostics` combines into one."""

    def get(self, key: str) -> Any:  # noqa: ANN401  each key has its own type
        """Return the effective value: bytes for sizes, seconds for durations, None for no limit."""
        return self.explain(key)[0].value

    def explain(self, key: str) -> tuple[Setting, ...]:
        """Return all candidates of a key, the effective one first and the default last; fails with PRJ002."""
        if key not in self.settings:
            fail("PRJ002", key=key, hint=did_you_mean(key, self.settings))
        return self.settings[key]

    def explained(self) -> tuple[Diagnostic, ...]:
        """Return all warnings, with a separate one for each key of an earlier version."""
        return (*self.earlier, *(item for item in self.diagnostics if item.code != "PRJ018"))

    def paths(self) -> dict[str, list[str]]:
        """Return the folders outside the project that steps may `read` and `write`."""
        return {name: list(self.get(f"paths.{name}") or ()) for name in ("read", "write")}

    def step_defaults(self) -> dict[str, JsonValue]:
        """Return the reserved step keys that the project sets for every step: as written, or as mappings."""
        chosen = {key: self.settings[key][0] for key in KEYS if key.startswith("defaults.")}
        values = {key: s.value if isinstance(s.value, dict) else s.written for key, s in chosen.items()}
        return {key.partition(".")[2]: value for key, value in values.items() if value is not None}


def _merge_earlier(diagnostics: list[Diagnostic]) -> tuple[tuple[Diagnostic, ...], tuple[Diagnostic, ...]]:
    """Return diagnostics with several warnings about earlier keys combined into one, and the combined ones."""
    earlier = tuple(item for item in diagnostics if item.code == "PRJ003")
    if len(earlier) < _MIN_MERGED:
        return tuple(diagnostics), ()
    keys = ", ".join(str(item.message).split("'")[1] for item in earlier)
    one = diagnostic("PRJ018", at=earlier[0].location, count=len(earlier), keys=keys)
    return tuple(one if item is earlier[0] else item for item in diagnostics if item not in earlier[1:]), earlier


_MIN_MERGED = 2
_NOWHERE = Location()


_OPTIONS = {
    "run.target": "--target",
    "run.wait": "--wait",
    "run.e2b.cpu": "--e2b-cpu",
    "run.e2b.memory": "--e2b-mem",
    "run.e2b.template": "--e2b-template",
    "run.e2b.timeout": "--e2b-timeout",
}
"""Command-line options by key."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A key as found: its value as written, its origin, its location, and its name there."""

    key: str
    written: JsonValue
    origin: str
    at: Location = _NOWHERE
    spelling: str | None = None


def load_config(
    project: Project,
    env: Mapping[str, str],
    profile: str | None = None,
    options: Mapping[str, JsonValue] | None = None,
) -> Config:
    """Return the settings of a project.

    `env` is the environment including `.env`, `options` are the settings of the command line, by key. `profile` falls
    back to `OSIRIS_PROFILE`; one that osiris.yaml does not declare is ignored here. Fails with PRJ002, PRJ004 and
    PRJ010, all at once, or as `read_config`.
    """
    config = read_config(project, env, profile, options)
    if has_errors(config.diagnostics):
        raise_all(config.explained())
    return config


def read_config(
    project: Project,
    env: Mapping[str, str],
    profile: str | None = None,
    options: Mapping[str, JsonValue] | None = None,
) -> Config:
    """Return the settings as `load_config`, without those that are not valid; `diagnostics` are also their errors.

    Fails with PRJ011, or with the problems of the file as YAML.
    """
    name = project.config_file.name
    document = read_document(load_text(project.config_file, name), name)
    if not isinstance(document.data, dict | None):
        fail("PRJ011", at=Location(name, 1), problem="it must be a mapping of keys")
    data = document.data or {}
    declared = data.pop("profiles", None)
    chosen = profile or env.get("OSIRIS_PROFILE") or None
    scan = _Scan(document)
    in_file = list(scan.mapping(data, "", name))
    in_profiles = {each: list(scan.profile(each, block)) for each, block in scan.profiles(declared)}
    names = tuple(in_profiles)
    layers = [_from_options(options), list(scan.variables(env)), in_profiles.pop(chosen or "", []), in_file]
    settings = {key: tuple(scan.settings(key, layers)) for key in KEYS}
    for candidate in chain.from_iterable(in_profiles.values()):  # check unused profiles too
        scan.setting(candidate)
    problems, earlier = _merge_earlier(sort_diagnostics(scan.problems))
    return Config(settings, chosen, names, problems, earlier)


def _from_options(options: Mapping[str, JsonValue] | None) -> list[_Candidate]:
    return [
        _Candidate(key, value, "command line", spelling=_OPTIONS.get(key)) for key, value in (options or {}).items()
    ]


class _Scan:
    """One reading of all sources; gathers what is wrong in `found`."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Diagnostic] = []
        self._document = document

    def mapping(self, block: Mapping[str, JsonValue], prefix: str, origin: str, base: str = "") -> Iterator[_Candidate]:
        """Yield the known keys of a block and its sections."""
        for name, value in block.items():
            key, pointer = prefix + name, f"{base}/{escape(name)}"
            at = self._place(pointer)
            if key in KEYS and "." not in name:
                yield _Candidate(key, value, f"{origin}:{at.line}", at)
            elif key in SECTIONS and isinstance(value, dict | None):
                yield from self.mapping(value or {}, f"{key}.", origin, pointer)
            else:
                self._report_unknown(key, value, at, earlier=not base)

    def profiles(self, declared: JsonValue) -> Iterator[tuple[str, Mapping[str, JsonValue]]]:
        """Yield name and block of each profile."""
        declared = declared or {}
        if not isinstance(declared, dict):
            self._wrong("profiles", _PROFILES, declared, self._place("/profiles"))
            return
        for name, block in declared.items():
            if isinstance(block, dict | None):
                yield name, block or {}
            else:
                self._wrong(f"profiles.{name}", _MAPPING, block, self._place(f"/profiles/{escape(name)}"))

    def profile(self, name: str, block: Mapping[str, JsonValue]) -> Iterator[_Candidate]:
        """Yield the known keys of a profile."""
        return self.mapping(block, "", f"profile {name}, osiris.yaml", f"/profiles/{escape(name)}")

    def variables(self, env: Mapping[str, str]) -> Iterator[_Candidate]:
        """Yield the keys set by the environment; a name with `__` is reserved for settings, so it must be known."""
        # The earlier implementation separated the parts of `aiop` keys by one `_`.
        by_variable = {variable_name(key).replace("__", "_"): key for key in KEYS if key.startswith("aiop.")}
        by_variable |= {variable_name(key): key for key in KEYS}
        for name in sorted(n for n in env if n.startswith("OSIRIS_") and not n.startswith("OSIRIS_PARAM_")):
            if name in by_variable:
                yield _Candidate(by_variable[name], env[name], f"environment {name}", spelling=name)
            elif "__" in name:
                self.problems.append(diagnostic("PRJ002", key=name, hint=did_you_mean(name, by_variable)))

    def settings(self, key: str, layers: Iterable[Iterable[_Candidate]]) -> Iterator[Setting]:
        """Yield the candidates of a key in order of precedence, the default last."""
        given = (self.setting(item) for layer in layers for item in layer if item.key == key)
        yield from (setting for setting in given if setting)
        default = KEYS[key].default
        yield Setting(None if default is None else KEYS[key].parse(default), "default", default)

    def setting(self, candidate: _Candidate) -> Setting | None:
        """Return the typed value; None for an invalid one, which is reported."""
        key = KEYS[candidate.key]
        if key.default is None and candidate.written in (None, "none"):
            return Setting(None, candidate.origin)
        value = key.parse(candidate.written)
        if value is None:
            self._wrong(candidate.spelling or candidate.key, key.expected, candidate.written, candidate.at)
            return None
        return Setting(value, candidate.origin, candidate.written)

    def _report_unknown(self, key: str, value: JsonValue, at: Location, *, earlier: bool) -> None:
        if key in SECTIONS and key != "profiles":
            self._wrong(key, _MAPPING, value, at)
        elif earlier and key in EARLIER_KEYS:
            self.problems.append(diagnostic("PRJ003", at=at, key=key, hint=EARLIER_KEYS[key]))
        elif key in EARLIER_BELOW:
            self.problems.append(diagnostic("PRJ003", at=at, key=key, hint=EARLIER_BELOW[key]))
        elif key in NOT_YET:
            self.problems.append(diagnostic("PRJ010", at=at, what=key, instead=NOT_YET[key]))
        else:
            section = key.rpartition(".")[0]
            allowed = [k for k in KEYS if k.startswith(f"{section}.")] if section else _BLOCKS
            name = re.sub("://.*", "://…", key)  # an address may be a secret
            self.problems.append(diagnostic("PRJ002", at=at, key=name, hint=did_you_mean(key, allowed)))

    def _place(self, pointer: str) -> Location:
        return self._document.keys.get(pointer, _NOWHERE)

    def _wrong(self, key: str, expected: str, written: JsonValue, at: Location) -> None:
        hint = _AS_A_VARIABLE if expected in (_VARIABLE[1], _REFERENCES[1]) else None
        value = _shown(written, expected)
        self.problems.append(diagnostic("PRJ004", at=at, hint=hint, key=key, expected=expected, found=value))


def _shown(written: JsonValue, expected: str) -> str:
    """Return a value for a message, without one that may be a secret or have one in it."""
    is_of_a_secret = expected in (_VARIABLE[1], _REFERENCES[1], _ADDRESS[1])
    if is_of_a_secret or (expected in (_MAPPING, _PROFILES) and isinstance(written, str | list)):
        return "a value that is not shown"
    return repr(written)


def variable_name(key: str) -> str:
    """Return the environment variable that sets a key."""
    return "OSIRIS_" + key.upper().replace(".", "__")
