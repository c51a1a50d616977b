"""Emits OpenLineage events of runs: to a file, to a server, or on demand; nothing is sent unless configured.

A slow or unreachable server delays a run by at most `openlineage.timeout` and never fails it: undelivered events are a
warning.
"""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from osiris.api.sessions import reading_of
from osiris.durable import append
from osiris.errors import OsirisError, diagnostic, fail
from osiris.family_spec import family_module, family_of_connection
from osiris.history.record import REFUSED, open_own_run, require_plan
from osiris.secret import Scrubber, Secret
from osiris.secret_stores import recall_secret, wait_for
from osiris.session.writing import ENDS
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from http.client import HTTPConnection

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.family_spec import FamilySpec
    from osiris.history.reading import Reading
    from osiris.model import JsonValue
    from osiris.report.openlineage import Parent, RunFacts

    Event = dict[str, JsonValue]
    Progress = Callable[[Event], None]

_ENDPOINT = "/api/v1/lineage"
_OFF = ("true", "1")


@dataclass(frozen=True, slots=True)
class Server:
    """The HTTP server for events: URL, API key, and timeout in seconds."""

    url: str
    key: str | None = field(repr=False)
    timeout: float

    @property
    def label(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def path(self) -> str:
        """Path of the requests: that of the URL, plus the standard endpoint unless present."""
        given = urlsplit(self.url).path.rstrip("/")
        return given if given.endswith("/lineage") else given + _ENDPOINT


def lineage_events(workspace: Workspace, name: str = "last") -> list[Event]:
    """Return the OpenLineage events of a session; fails with RUN010, AIO014, AIO021, or CMP027 without a plan."""
    from osiris.report.openlineage import events_of

    run = open_own_run(workspace.project, name)
    if run.summary["kind"] == REFUSED:
        fail("AIO021", session=run.id)
    if run.summary["kind"] != "run":
        fail("AIO014", session=run.id)
    return events_of(_facts_of(workspace, reading_of(workspace, run.id)))


def emit_lost(workspace: Workspace, sessions: Iterable[Mapping[str, JsonValue]]) -> list[Diagnostic]:
    """Emit the end events of lost runs, if configured; returns warnings."""
    emitter = _Emitter(workspace)
    for session in (each for each in sessions if emitter.is_enabled and each["kind"] == "run"):
        emitter.on_event({"event": "run_lost", "session": session["session"]})
    return emitter.close()


def emitting(workspace: Workspace, progress: Progress) -> tuple[Progress, Callable[[], list[Diagnostic]]]:
    """Return a `progress` that also emits events, and a function that waits for them and returns warnings."""
    emitter = _Emitter(workspace)

    def both(event: Event) -> None:
        progress(event)
        emitter.on_event(event)

    return (both if emitter.is_enabled else progress), emitter.close


class _Emitter:
    """Creates and delivers events when a run starts and when it ends."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._file = workspace.config.get("openlineage.file")
        self._server = _server(workspace)
        self._sender: _Sender | None = None
        self._session = ""
        self._write_error = ""
        self._failure = ""

    @property
    def is_enabled(self) -> bool:
        """Whether a file or a server is configured."""
        return self._file is not None or self._server is not None

    def on_event(self, event: Event) -> None:
        """Handle one recorded event of the run; problems here never affect the run."""
        if event["event"] == "run_start" or event["event"] in ENDS:
            self._session = event["session"]
            try:
                self._deliver(self._events(ended=event["event"] in ENDS))
            except (OSError, OsirisError, LookupError, ValueError) as error:
                self._failure = str(error) or type(error).__name__

    def _events(self, *, ended: bool) -> list[Event]:
        from osiris.report.openlineage import end_event, start_event, step_events

        facts = _facts_of(self._workspace, reading_of(self._workspace, self._session))
        end = end_event(facts) if ended else None
        return [end, *step_events(facts)] if end else [start_event(facts)]

    def close(self) -> list[Diagnostic]:
        """Wait for pending events, at most `openlineage.timeout`; returns warnings."""
        warnings = []
        if self._failure:
            warnings.append(self._undelivered("some", "their readers", self._failure))
        if self._write_error:
            reason = self._write_error
            warnings.append(diagnostic("AIO011", path=self._file, reason=reason, session=self._session))
        if self._sender and self._server and (unsent := self._sender.close()):
            warnings.append(self._undelivered(unsent[0], self._server.label, unsent[1]))
        return warnings

    def _undelivered(self, count: int | str, where: str, reason: str) -> Diagnostic:
        return diagnostic("AIO010", count=count, where=where, reason=reason, session=self._session)

    def _deliver(self, events: list[Event]) -> None:
        if self._file:
            self._write(events)
        if self._server:
            self._sender = self._sender or _Sender(self._server)
            self._sender.send(events)

    def _write(self, events: list[Event]) -> None:
        path = self._workspace.root / self._file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab", buffering=0) as file:
                append(file.fileno(), b"".join(event_line(event) for event in events))
        except OSError as error:
            self._write_error = error.strerror or type(error).__name__


class _Sender:
    """Sends events from a daemon thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._handed = 0
        self._sent = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._send_all, name="openlineage", daemon=True)
        self._thread.start()

    def send(self, events: list[Event]) -> None:
        """Queue events; returns at once."""
        self._handed += len(events)
        for event in events:
            self._waiting.put(event)

    def close(self) -> tuple[int, str] | None:
        """Wait until all are sent, up to the timeout; returns how many were not and why, None if all were."""
        self._waiting.put(None)
        wait_for([self._thread], self._server.timeout)
        missing = self._handed - self._sent
        if not missing:
            return None
        return missing, self._reason or f"it did not accept them within {duration_text(self._server.timeout)}"

    def _send_all(self) -> None:
        import http.client

        parts = urlsplit(self._server.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        line = kind(parts.hostname or "", parts.port, timeout=self._server.timeout)
        while (event := self._waiting.get()) is not None:
            self._reason = self._post(line, event) or self._reason

    def _post(self, line: HTTPConnection, event: Event) -> str:
        """Send one event; returns the reason of a failure, else ""."""
        from http.client import HTTPException

        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self._server.key}"} if self._server.key else {}
        try:
            line.request("POST", self._server.path, event_line(event), headers)
            answer = line.getresponse()
            answer.read()
        except TimeoutError:
            line.close()
            return f"no answer within {duration_text(self._server.timeout)}"
        except (OSError, HTTPException, ValueError) as error:
            line.close()
            return getattr(error, "strerror", None) or type(error).__name__
        if answer.status // 100 != 2:
            return f"it answered with status {answer.status}"
        self._sent += 1
        return ""


def event_line(event: Event) -> bytes:
    """Return an event as one line of ASCII."""
    return json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"


def _server(workspace: Workspace) -> Server | None:
    """Return the server configured by the project, else by the standard variables if `openlineage.enabled`."""
    config, environ = workspace.config, workspace.environ
    url, timeout = config.get("openlineage.url"), config.get("openlineage.timeout")
    if url:
        variable = config.get("openlineage.api_key")
        return Server(url, environ.get(variable) if variable else None, timeout)
    if not config.get("openlineage.enabled") or environ.get("OPENLINEAGE_DISABLED", "").lower() in _OFF:
        return None
    url = environ.get("OPENLINEAGE_URL")
    return Server(url, environ.get("OPENLINEAGE_API_KEY"), timeout) if url else None


def _facts_of(workspace: Workspace, reading: Reading) -> RunFacts:
    from osiris.report.openlineage import RunFacts

    plan = require_plan(reading.run)
    namespace = workspace.config.get("openlineage.namespace")
    parent = None
    if workspace.config.get("openlineage.enabled"):
        namespace = workspace.environ.get("OPENLINEAGE_NAMESPACE") or namespace
        parent = _parent(workspace.environ.get("OPENLINEAGE_PARENT_ID", ""))
    return RunFacts(reading, plan, workspace.root, namespace, known_fields(workspace, plan.data["connections"]), parent)


def _parent(text: str) -> Parent | None:
    """Return the parent run named by `NAMESPACE/JOB/RUN_ID`; None if invalid."""
    from osiris.report.openlineage import Parent

    namespace, _, rest = text.partition("/")
    job, _, run_id = rest.rpartition("/")
    return Parent(namespace, job, run_id) if namespace and job and run_id else None


def known_fields(
    workspace: Workspace, connections: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, Mapping[str, JsonValue]]:
    """Return the current fields of each connection without secrets; connections with unset variables are left out."""
    fields: dict[str, Mapping[str, JsonValue]] = {}
    for reference, written in connections.items():
        with suppress(OsirisError):
            resolved = workspace.resolve({reference: dict(written)}, fetch=recall_secret)
            family = family_of_connection(reference)
            plain, secret = _of_database(family, resolved.plain[reference], resolved.secret[reference])
            inside, password = _of_url(secret.get("dsn") or secret.get("url") or "")
            hidden = [text for name, text in secret.items() if name not in ("dsn", "url")] + resolved.stored
            scrubber = Scrubber([Secret(text) for text in (*hidden, password) if text])
            fields[reference] = scrubber.json({**inside, **plain})
    return fields


def _of_database(
    family: FamilySpec, plain: Mapping[str, JsonValue], secret: Mapping[str, str]
) -> tuple[Mapping[str, JsonValue], Mapping[str, str]]:
    """Return plain and secret fields of a connection in terms of the family whose wire protocol its database uses.

    Both are empty if it does not lead to a database.
    """
    connect = family_module(family.name, "connect") if family.protocol_of else None
    if connect is None:
        return plain, secret
    fields = connect.wire_fields({**plain, **{name: Secret(text) for name, text in secret.items()}}) or {}
    hidden = {name: value.reveal() for name, value in fields.items() if isinstance(value, Secret)}
    return {name: value for name, value in fields.items() if not isinstance(value, Secret)}, hidden


def _of_url(text: str) -> tuple[dict[str, JsonValue], str | None]:
    """Return host, port and database of a connection string, and its password."""
    try:
        url = urlsplit(text)
        parts = {"host": url.hostname, "port": url.port, "database": url.path.strip("/")}
    except ValueError:
        return {}, None
    return ({key: value for key, value in parts.items() if value} if url.hostname else {}), url.password
