"""Telling others of runs in OpenLineage events: to a file, to a server, or on demand. Nothing is told unasked.

A server that is slow or down costs a run no more than `openlineage.timeout`, and never its success: what could not be
delivered is a warning.
"""

from __future__ import annotations

import json
import queue
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from osiris.api.sessions import reading_of
from osiris.durable import append
from osiris.errors import OsirisError, diagnostic, fail
from osiris.family_spec import family_module, family_of_connection
from osiris.history.record import REFUSED, open_own_run, require_plan
from osiris.secret import Scrubber, Secret
from osiris.session.writing import ENDS
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from http.client import HTTPConnection

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.family_spec import FamilySpec
    from osiris.history.reading import Reading
    from osiris.model import JsonValue, Manifest
    from osiris.report.openlineage import Parent, Told

    Event = dict[str, JsonValue]
    Progress = Callable[[Event], None]

_ENDPOINT = "/api/v1/lineage"
_OFF = ("true", "1")


@dataclass(frozen=True, slots=True)
class Server:
    """Where events go by HTTP: an address, the key for it, and the seconds that it may take."""

    url: str
    key: str | None = field(repr=False)
    timeout: float

    @property
    def label(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    @property
    def path(self) -> str:
        """Path of the requests: that of the address, and the endpoint of the standard unless it is there."""
        given = urlsplit(self.url).path.rstrip("/")
        return given if given.endswith("/lineage") else given + _ENDPOINT


def lineage_events(workspace: Workspace, name: str = "last") -> list[Event]:
    """Return the OpenLineage events of a session; fails with RUN010, AIO014, or CMP027 if its plan is gone."""
    from osiris.report.openlineage import events_of

    run = open_own_run(workspace.project, name)
    if run.summary["kind"] == REFUSED:
        fail("AIO021", session=run.id)
    if run.summary["kind"] != "run":
        fail("AIO014", session=run.id)
    return events_of(_told(workspace, reading_of(workspace, run.id)))


def tell_lost(workspace: Workspace, sessions: Iterable[Mapping[str, JsonValue]]) -> None:
    """Tell how runs ended whose process was gone, as far as anybody wants to know and can be reached."""
    teller = _Teller(workspace)
    for session in (each for each in sessions if teller.is_asked and each["kind"] == "run"):
        teller.hear({"event": "run_lost", "session": session["session"]})
    teller.close()


@contextmanager
def telling(workspace: Workspace, progress: Progress) -> Iterator[tuple[Progress, list[Diagnostic]]]:
    """Give a `progress` that also tells of the run, and the warnings, which are there once this has been left."""
    teller = _Teller(workspace)
    problems: list[Diagnostic] = []
    if not teller.is_asked:
        yield progress, problems
        return

    def both(event: Event) -> None:
        progress(event)
        teller.hear(event)

    try:
        yield both, problems
    finally:
        problems += teller.close()


class _Teller:
    """Makes events of a run when it starts and when it ends, and hands them on."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._file = workspace.config.get("openlineage.file")
        self._server = _server(workspace)
        self._sender: _Sender | None = None
        self._session = ""
        self._not_written = ""
        self._unmade = ""

    @property
    def is_asked(self) -> bool:
        """Tell whether anybody wants events."""
        return self._file is not None or self._server is not None

    def hear(self, event: Event) -> None:
        """Take one event of the run, as it is recorded; what is wrong here is no matter of the run."""
        if event["event"] == "run_start" or event["event"] in ENDS:
            self._session = event["session"]
            try:
                self._hand_on(self._events(ended=event["event"] in ENDS))
            except (OSError, OsirisError, LookupError, ValueError) as error:
                self._unmade = str(error) or type(error).__name__

    def _events(self, *, ended: bool) -> list[Event]:
        from osiris.report.openlineage import end_event, start_event, step_events

        told = _told(self._workspace, reading_of(self._workspace, self._session))
        end = end_event(told) if ended else None
        return [end, *step_events(told)] if end else [start_event(told)]

    def close(self) -> list[Diagnostic]:
        """Wait for what is on its way, at most as long as was agreed; returns what is to be said."""
        found = []
        if self._unmade:
            found.append(self._undelivered("some", "their readers", self._unmade))
        if self._not_written:
            reason = self._not_written
            found.append(diagnostic("AIO011", path=self._file, reason=reason, session=self._session))
        if self._sender and self._server and (lost := self._sender.close()):
            found.append(self._undelivered(lost[0], self._server.label, lost[1]))
        return found

    def _undelivered(self, count: int | str, where: str, reason: str) -> Diagnostic:
        return diagnostic("AIO010", count=count, where=where, reason=reason, session=self._session)

    def _hand_on(self, events: list[Event]) -> None:
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
            self._not_written = error.strerror or type(error).__name__


class _Sender:
    """Sends events from a thread of its own, which ends with the process whatever the server does."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._waiting: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._handed = 0
        self._sent = 0
        self._reason = ""
        self._thread = threading.Thread(target=self._work, name="openlineage", daemon=True)
        self._thread.start()

    def send(self, events: list[Event]) -> None:
        """Hand over events; returns at once."""
        self._handed += len(events)
        for event in events:
            self._waiting.put(event)

    def close(self) -> tuple[int, str] | None:
        """Wait until all is sent, or the time is over; returns how many were not and why, None if all were."""
        self._waiting.put(None)
        self._thread.join(self._server.timeout)
        missing = self._handed - self._sent
        if not missing:
            return None
        return missing, self._reason or f"it did not take them within {duration_text(self._server.timeout)}"

    def _work(self) -> None:
        import http.client

        parts = urlsplit(self._server.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        line = kind(parts.hostname or "", parts.port, timeout=self._server.timeout)
        while (event := self._waiting.get()) is not None:
            self._reason = self._post(line, event) or self._reason

    def _post(self, line: HTTPConnection, event: Event) -> str:
        """Send one event; returns why it was not taken, nothing if it was."""
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
            return f"it answered {answer.status}"
        self._sent += 1
        return ""


def event_line(event: Event) -> bytes:
    """Return an event as one line of ASCII."""
    return json.dumps(event, separators=(",", ":")).encode("ascii") + b"\n"


def _server(workspace: Workspace) -> Server | None:
    """Return the server that the project names, else that of the standard variables if the project lets them count."""
    config, environ = workspace.config, workspace.environ
    url, timeout = config.get("openlineage.url"), config.get("openlineage.timeout")
    if url:
        variable = config.get("openlineage.api_key")
        return Server(url, environ.get(variable) if variable else None, timeout)
    if not config.get("openlineage.enabled") or environ.get("OPENLINEAGE_DISABLED", "").lower() in _OFF:
        return None
    url = environ.get("OPENLINEAGE_URL")
    return Server(url, environ.get("OPENLINEAGE_API_KEY"), timeout) if url else None


def _told(workspace: Workspace, reading: Reading) -> Told:
    from osiris.report.openlineage import Told

    plan = require_plan(reading.run)
    namespace = workspace.config.get("openlineage.namespace")
    parent = None
    if workspace.config.get("openlineage.enabled"):
        namespace = workspace.environ.get("OPENLINEAGE_NAMESPACE") or namespace
        parent = _parent(workspace.environ.get("OPENLINEAGE_PARENT_ID", ""))
    return Told(reading, plan, workspace.root, namespace, _known_fields(workspace, plan), parent)


def _parent(text: str) -> Parent | None:
    """Return the run that `NAMESPACE/JOB/RUN_ID` names; None if it names none."""
    from osiris.report.openlineage import Parent

    namespace, _, rest = text.partition("/")
    job, _, run_id = rest.rpartition("/")
    return Parent(namespace, job, run_id) if namespace and job and run_id else None


def _known_fields(workspace: Workspace, plan: Manifest) -> dict[str, Mapping[str, JsonValue]]:
    """Return the fields of each connection as they are now, without secrets; none of one that lacks a variable."""
    known: dict[str, Mapping[str, JsonValue]] = {}
    for reference, written in plan.data["connections"].items():
        with suppress(OsirisError):
            found = workspace.resolve({reference: written})
            family = family_of_connection(reference)
            plain, secret = _of_database(family, found.plain[reference], found.secret[reference])
            inside, password = _of_url(secret.get("dsn") or secret.get("url") or "")
            hidden = [text for name, text in secret.items() if name not in ("dsn", "url")]
            scrubber = Scrubber([Secret(text) for text in (*hidden, password) if text])
            known[reference] = scrubber.json({**inside, **plain})
    return known


def _of_database(
    family: FamilySpec, plain: Mapping[str, JsonValue], secret: Mapping[str, str]
) -> tuple[Mapping[str, JsonValue], Mapping[str, str]]:
    """Return plain and secret fields of a connection as the family has them whose protocol its database speaks.

    None where it does not lead to a database.
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
        found = {"host": url.hostname, "port": url.port, "database": url.path.strip("/")}
    except ValueError:
        return {}, None
    return ({key: value for key, value in found.items() if value} if url.hostname else {}), url.password
