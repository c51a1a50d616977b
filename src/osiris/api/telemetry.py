"""Sends spans and metrics of runs to a collector of OpenTelemetry, if enabled; a failure is a warning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from osiris.api.sessions import reading_of
from osiris.api.workspace import project_scrubber
from osiris.distribution import ask_process, install_command, installed_version, own_version
from osiris.errors import OsirisError, diagnostic
from osiris.history.record import REFUSED
from osiris.units import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from osiris.api.workspace import Workspace
    from osiris.errors import Diagnostic
    from osiris.model import JsonValue

    Progress = Callable[[dict[str, JsonValue]], None]

_RUNS = ("run", REFUSED)
_PACKAGES = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")


def send_telemetry(workspace: Workspace, sessions: Iterable[str], progress: Progress) -> list[Diagnostic]:
    """Send spans and metrics of ended runs, if `otel.enabled`; returns warnings. Replays are not sent.

    `progress` gets an event before they are sent, as that may take a while.
    """
    environ = workspace.environ
    if not workspace.config.get("otel.enabled") or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    if not all(map(installed_version, _PACKAGES)):
        return [diagnostic("NTF006", command=install_command("otel"))]
    return [warning for session in sessions for warning in _send(workspace, session, progress)]


def _send(workspace: Workspace, session: str, progress: Progress) -> Iterator[Diagnostic]:
    """Send one run, and yield a warning if it was not accepted."""
    from osiris.report.telemetry_service import SENT
    from osiris.report.telemetry_service import __name__ as service

    timeout = workspace.config.get("otel.timeout")
    try:
        message = _message(workspace, session)
        if message:
            progress({"event": "reporting", "to": "the collector"})
        answer = ask_process(service, message, timeout, _variables(workspace)) if message else SENT
    except (OSError, OsirisError, LookupError, TypeError, ValueError) as error:
        answer = str(error) or type(error).__name__
    if answer != SENT:
        late = f"no answer within {duration_text(timeout)}"
        reason = late if answer is None else answer or "the libraries of OpenTelemetry ended unexpectedly"
        yield diagnostic("NTF005", session=session, where=_where(workspace.environ), reason=reason)


def _where(environ: Mapping[str, str]) -> str:
    """Return scheme, host and port of the collectors of spans and of metrics, without logins and paths."""
    base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip() or "http://localhost:4318"
    names = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    addresses = (environ.get(name, "").strip() or base for name in names)
    parts = (address.partition("://") for address in addresses)
    hosts = (f"{scheme}://{re.split('[/?#]', rest)[0].rpartition('@')[2]}" for scheme, _, rest in parts)
    return " and ".join(dict.fromkeys(hosts))


def _message(workspace: Workspace, session: str) -> dict[str, JsonValue] | None:
    """Return what is sent of a run; None for a replay."""
    from osiris.report.telemetry import metrics_of, spans_of

    reading = reading_of(workspace, session)
    if reading.run.summary["kind"] not in _RUNS:
        return None
    scrubber, environ = project_scrubber(workspace), workspace.environ
    names = ("TRACEPARENT", "TRACESTATE")
    return {
        "resource": {"service.name": "osiris", "service.version": own_version(), "osiris.project": workspace.root.name},
        "parent": {name.lower(): environ[name] for name in names if environ.get(name)},
        "spans": scrubber.json(spans_of(reading)),
        "metrics": scrubber.json(metrics_of(reading)),
        "timeout": workspace.config.get("otel.timeout") / 2,  # of each of two requests
    }


def _variables(workspace: Workspace) -> dict[str, str]:
    """Return the variables of OpenTelemetry, also those of .env."""
    return {name: value for name, value in workspace.environ.items() if name.startswith("OTEL_")}
