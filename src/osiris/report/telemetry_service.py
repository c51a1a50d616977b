"""A process that sends spans and metrics by OTLP over HTTP: `python -m osiris.report.telemetry_service`.

It reads them as JSON from standard input and prints why they were not accepted, `SENT` if they were. Where they are
sent, with which headers and certificates, is in the standard variables `OTEL_*`, which the libraries read.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from osiris.model import JsonValue

SENT = "sent"
TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"


_LATE = "the collector did not answer in time"


class _Reason(logging.Handler):
    """Keeps why an export failed, from the arguments of what an exporter logs; its texts may contain an address."""

    text = _LATE

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason of a refusal (kind, status, reason) or of a failure that is retried (reason, kind, time)."""
        match record.args:
            case (_, int() as status, _):
                self.text = f"the collector answered with status {status}"
            case (_, None, BaseException() as error) | (BaseException() as error, _, _):
                self.text = _LATE if "Timeout" in type(error).__name__ else "the collector was not reached"
            case (str(), _, float()):
                self.text = "the collector refused them for the moment"


def send(message: dict[str, JsonValue]) -> str:
    """Send spans and metrics; returns `SENT`, or why they were not accepted."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    for name in [name for name, text in os.environ.items() if name.startswith("OTEL_") and not text.strip()]:
        del os.environ[name]  # as the standard says; the libraries would take an empty certificate for no check
    os.environ.setdefault(TEMPORALITY, "delta")  # a process that ends is no place to accumulate
    reason = _Reason()
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(reason)
    logger.propagate = False
    resource = Resource(message["resource"]).merge(OTELResourceDetector().detect())
    accepted = _send_spans(message, resource) and _send_metrics(message, resource)
    return SENT if accepted else reason.text


def _send_spans(message: dict[str, JsonValue], resource: Resource) -> bool:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    made, provider = InMemorySpanExporter(), TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(made))
    tracer = provider.get_tracer("osiris", message["resource"]["service.version"])
    context = TraceContextTextMapPropagator().extract(message["parent"])
    whole, *steps = message["spans"]

    def start(span: dict[str, JsonValue]) -> Span:
        begun = tracer.start_span(span["name"], context, attributes=span["attributes"], start_time=span["start"])
        if span["failed"]:
            begun.set_status(Status(StatusCode.ERROR, span["message"]))
        return begun

    root = start(whole)
    context = set_span_in_context(root, context)
    for step in steps:
        start(step).end(step["end"])
    root.end(whole["end"])
    spans = made.get_finished_spans()
    return not spans or OTLPSpanExporter(timeout=message["timeout"]).export(spans) is SpanExportResult.SUCCESS


def _send_metrics(message: dict[str, JsonValue], resource: Resource) -> bool:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult

    exporter = OTLPMetricExporter(timeout=message["timeout"])
    reader = InMemoryMetricReader(exporter._preferred_temporality, exporter._preferred_aggregation)
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    meter = provider.get_meter("osiris", message["resource"]["service.version"])
    for metric in message["metrics"]:
        if metric["kind"] == "counter":
            meter.create_counter(metric["name"], metric["unit"]).add(metric["value"], metric["attributes"])
        else:
            meter.create_histogram(metric["name"], metric["unit"]).record(metric["value"], metric["attributes"])
    data = reader.get_metrics_data()
    return data is None or exporter.export(data) is MetricExportResult.SUCCESS


if __name__ == "__main__":
    print(send(json.load(sys.stdin)))  # noqa: T201
