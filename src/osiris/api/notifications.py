"""Notifies of runs and of late pipelines by the channels of `notify.*`: each event at most once.

A notification is recorded before it is sent, so a kill in between loses it rather than repeating it. A failed one is a
warning, and never changes the result of a run.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from osiris.api.sessions import reading_of
from osiris.api.workspace import project_scrubber
from osiris.config import NOTIFY_CHANNELS
from osiris.distribution import install_command, installed_version
from osiris.durable import READ_AND_APPEND, append_durably, guarded, make_folder, open_file
from osiris.errors import OsirisError, diagnostic
from osiris.files import take_lock
from osiris.history.record import REFUSED
from osiris.model import parse_store_reference
from osiris.secret_stores import fetch_secret
from osiris.session.finding import iter_sessions, order_of
from osiris.session.stored import cut_torn_line, line, now_text, read_lines
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue
    from osiris.notify.channels import Failure
    from osiris.notify.message import Body

    Target = tuple[str, str]
    Progress = Callable[[dict[str, JsonValue]], None]
    Entry = Mapping[str, JsonValue]
    Sending = tuple[str, str, Body]

_RUNS = ("run", REFUSED)
_RECORDED = ("id", "events", "pipeline")
_POLL = 0.05
"""Seconds between two attempts to lock the record."""


def notify_runs(workspace: Workspace, sessions: Iterable[str], progress: Progress) -> list[Diagnostic]:
    """Notify of ended runs, if configured; returns warnings, also about channels that cannot be used.

    Replays are not reported. `progress` gets an event before messages are sent, as that may take a while.
    """
    usable, warnings = _usable(workspace)
    for session in sessions if usable else ():
        warnings += _notify_run(workspace, session, usable, progress)
    return warnings


def notify_late(workspace: Workspace, late: Mapping[str, datetime]) -> list[Diagnostic]:
    """Notify of late pipelines: by name, the time in UTC when each was due first and did not run; returns warnings.

    Does nothing unless `late` is in `notify.events` and a channel is configured. Each pipeline and due time is reported
    at most once, however often this is called. Waits at most `notify.timeout` for all of them together.
    """
    from osiris.notify.message import late_body

    if not late or "late" not in workspace.config.get("notify.events"):
        return []
    usable, warnings = _usable(workspace)
    bodies = [late_body(name, due, workspace.root.name) for name, due in late.items()]
    return [*warnings, *_send(workspace, bodies, usable, lambda _event: None)]


def send_test(workspace: Workspace) -> tuple[list[str], list[Diagnostic]]:
    """Send a test message to every channel; returns those that accepted it, and warnings about the others."""
    from osiris.notify.message import test_body

    usable, warnings = _usable(workspace)
    body = test_body(f"test@{now_text()}", workspace.root.name)
    failed = _deliver(workspace, [(*target, body) for target in usable])
    refused = [message[:2] for message, _ in failed]
    accepted = [_named(*target) for target in usable if target not in refused]
    return accepted, [*warnings, *(_undelivered(*each) for each in failed)]


def _targets(workspace: Workspace) -> list[Target]:
    """Return each configured channel with the reference to its address: a variable, or a secret of a store."""
    return [(name, variable) for name in NOTIFY_CHANNELS for variable in workspace.config.get(f"notify.{name}") or ()]


def _notify_run(workspace: Workspace, session: str, usable: list[Target], progress: Progress) -> list[Diagnostic]:
    from osiris.aiop.answer import answer_of
    from osiris.notify.message import events_of, run_body

    try:
        reading = reading_of(workspace, session)
        if reading.run.summary["kind"] not in _RUNS:
            return []
        answer = answer_of(reading)
        before = next(_runs_before(workspace, reading.run.pipeline, session), None)
        events = events_of(reading, before, answer["rows"]["rejected"])
        chosen = [name for name in events if name in workspace.config.get("notify.events")]
        bodies = [run_body(answer, chosen, workspace.root.name)] if chosen else []
        return _send(workspace, bodies, usable, progress)
    except (OSError, OsirisError, LookupError, TypeError, ValueError) as error:
        return [diagnostic("NTF002", reason=str(error) or type(error).__name__)]


def _runs_before(workspace: Workspace, pipeline: str, session: str) -> Iterator[Mapping[str, JsonValue]]:
    """Yield the run.json of each earlier run of a pipeline that ended by itself, the newest first."""
    from osiris.notify.message import is_failure

    for run in iter_sessions(workspace.project):
        is_earlier = run.get("pipeline") == pipeline and order_of(str(run["session"])) < order_of(session)
        if is_earlier and run.get("kind") in _RUNS and (run["status"] == "complete" or is_failure(run)):
            yield run


def _send(workspace: Workspace, bodies: list[Body], usable: list[Target], progress: Progress) -> list[Diagnostic]:
    """Record bodies, then send those that were not recorded yet by the channels that can be used; returns warnings."""
    if not (bodies and usable):
        return []
    scrubber = project_scrubber(workspace)
    try:
        new = _recorded(workspace, [scrubber.json(body) for body in bodies], usable)
    except OsirisError as error:
        return [diagnostic("NTF002", reason=error.diagnostics[0].message)]
    return _send_new(workspace, new, usable, progress) if new else []


def _send_new(workspace: Workspace, bodies: list[Body], usable: list[Target], progress: Progress) -> list[Diagnostic]:
    """Send bodies that are on record, and record those that failed; returns warnings."""
    progress({"event": "reporting", "to": ", ".join(dict.fromkeys(channel for channel, _ in usable))})
    failed = _deliver(workspace, [(*target, body) for body in bodies for target in usable])
    with suppress(OsirisError):
        _append(workspace, "not_delivered", lambda _: [_failed_entry(*each) for each in failed])
    return [_undelivered(*each) for each in failed]


def _deliver(workspace: Workspace, messages: list[Sending]) -> list[tuple[Sending, Failure]]:
    """Send messages; returns those that failed, each with the reason."""
    from osiris.notify.channels import deliver

    addressed = [(channel, partial(_address, workspace, text), body) for channel, text, body in messages]
    failures = deliver(addressed, workspace.config.get("notify.timeout"))
    return [(message, failure) for message, failure in zip(messages, failures, strict=True) if failure]


def _address(workspace: Workspace, text: str) -> str:
    """Return the address in a variable, or in a secret store; raises StoreError."""
    reference = parse_store_reference(text)
    return fetch_secret(reference, workspace.environ) if reference else workspace.environ[text]


def _undelivered(message: Sending, failure: Failure) -> Diagnostic:
    from osiris.notify.message import title_of

    channel, variable, body = message
    place = f"the secret ${{{variable}}}" if parse_store_reference(variable) else f"the variable {variable}"
    return diagnostic(
        "NTF001",
        title=title_of(body),
        verdict=failure.verdict,
        channel=channel,
        variable=variable,
        reason=failure.reason,
        remedy=failure.remedy.replace("{place}", place),
    )


def _usable(workspace: Workspace) -> tuple[list[Target], list[Diagnostic]]:
    """Return the channels that can be used, each with its variable, and why others cannot."""
    problems = {target: _problem_of(workspace, *target) for target in _targets(workspace)}
    usable = [target for target, problem in problems.items() if problem is None]
    return usable, [problem for problem in problems.values() if problem]


def _problem_of(workspace: Workspace, channel: str, variable: str) -> Diagnostic | None:
    """Return why a channel cannot be used; None if it can."""
    if not (parse_store_reference(variable) or workspace.environ.get(variable)):
        return diagnostic("NTF003", channel=channel, variable=variable)
    if channel == "apprise" and installed_version("apprise") is None:
        return diagnostic("NTF004", command=install_command("notify"))
    return None


def _recorded(workspace: Workspace, bodies: list[Body], targets: list[Target]) -> list[Body]:
    """Append bodies to the record durably, and return those that were not in it; fails with PRJ006."""
    to = [_named(*target) for target in targets]
    new: list[Body] = []

    def unknown(recorded: Iterable[Mapping[str, JsonValue]]) -> Iterator[Mapping[str, JsonValue]]:
        reported = {entry.get("id") for entry in recorded}
        for body in bodies:
            if body["id"] not in reported:
                new.append(body)
                yield {**{key: body[key] for key in _RECORDED}, "to": to}

    _append(workspace, "notified", unknown)
    return new


def _failed_entry(message: Sending, failure: Failure) -> Entry:
    *target, body = message
    return {"id": body["id"], "to": [_named(*target)], "reason": failure.reason}


def _append(workspace: Workspace, event: str, entries: Callable[[Iterable[Entry]], Iterable[Entry]]) -> None:
    """Append the entries that a function returns for those on record, in one durable write; fails with PRJ006."""
    path = workspace.project.notifications
    make_folder(path.parent, private=True)
    with guarded(path):
        descriptor = open_file(path, READ_AND_APPEND)
        try:
            _lock(descriptor, workspace.config.get("notify.timeout"))
            cut_torn_line(path)
            added = entries(read_lines(path))
            lines = (line({"ts": now_text(), "event": event, **entry}) for entry in added)
            append_durably(descriptor, b"".join(lines))
        finally:
            os.close(descriptor)


def _lock(descriptor: int, timeout: float) -> None:
    """Lock the record; raises TimeoutError if another process holds it for `timeout` seconds."""
    end = time.monotonic() + timeout
    while not take_lock(descriptor):
        if time.monotonic() > end:
            raise TimeoutError(f"another process has locked it for {duration_text(timeout)}")
        time.sleep(_POLL)


def _named(channel: str, variable: str) -> str:
    return f"{channel} ${{{variable}}}"
