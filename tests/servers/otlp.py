"""An OTLP/HTTP collector for tests, written from the OTLP specification: traces and metrics, binary protobuf, gzip.

    def test_tracing(otlp):                                     # the fixture
        otlp.endpoint                                           # OTEL_EXPORTER_OTLP_ENDPOINT; `otlp.environment` has it
        otlp.spans                                              # opentelemetry.proto Spans, in the order of arrival
        otlp.span("run")                                        # the only span of that name
        otlp.metrics["osiris.rows"]                             # the newest opentelemetry.proto Metric of each name
        otlp.resources                                          # the attributes of the resources, as dictionaries
        attributes(otlp.span("run").attributes)                 # a dictionary of Python's values
        otlp.refuse(429, retry_after="1")                       # all requests, with a Status; `None` ends it
        otlp.server.script.append(refusal(503))                 # the next request only
        otlp.rejected = 2                                       # partial success: two were not kept, says the answer
        otlp.wanted = {"authorization": "Bearer x"}             # headers without which it answers 401
        otlp.requests, otlp.server.faults.hang                  # `http_double.py` has these and more

It refuses another path (404), method (405) and content type (415: JSON, too), and a body that cannot be unpacked or
parsed (400). A request that is refused is in `requests`, and not in `spans`.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from .http_double import Answer, Request, Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = {"Content-Type": "application/x-protobuf"}
_TRACES, _METRICS = trace_service_pb2, metrics_service_pb2
_CODES = {400: 3, 401: 16, 404: 5, 405: 12, 415: 3, 429: 8, 500: 13, 502: 14, 503: 14, 504: 4}


def refusal(status: int, message: str = "refused", *, retry_after: str | None = None) -> Answer:
    """Return an answer with a Status as its body; `retry_after` is in seconds or a date of HTTP."""
    body = Status(code=_CODES.get(status, 2), message=message).SerializeToString()
    return Answer(status, body, PROTOBUF | ({"Retry-After": retry_after} if retry_after else {}))


def attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes as values of Python."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind) if kind else None


class Otlp:
    """The collector; may be changed while it runs."""

    def __init__(self) -> None:
        self.server: Server
        self.rejected, self.wanted = 0, {}
        self.traces: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self.measured: list[metrics_service_pb2.ExportMetricsServiceRequest] = []

    @property
    def endpoint(self) -> str:
        return self.server.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that exporters read."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}

    @property
    def requests(self) -> list[Request]:
        return self.server.requests

    @property
    def spans(self) -> list[Span]:
        scopes = [scope for one in self.traces for each in one.resource_spans for scope in each.scope_spans]
        return [span for scope in scopes for span in scope.spans]

    def span(self, name: str) -> Span:
        """Return the only span with a name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def metrics(self) -> dict[str, Metric]:
        """The newest metric of each name."""
        scopes = [scope for one in self.measured for each in one.resource_metrics for scope in each.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    @property
    def resources(self) -> list[dict[str, Any]]:
        """The attributes of all resources, those of traces first."""
        traced = [each.resource for one in self.traces for each in one.resource_spans]
        measured = [each.resource for one in self.measured for each in one.resource_metrics]
        return [attributes(one.attributes) for one in (*traced, *measured)]

    def refuse(self, status: int | None, message: str = "refused", *, retry_after: str | None = None) -> None:
        """Refuse all requests; None ends it."""
        self.server.always = None if status is None else refusal(status, message, retry_after=retry_after)

    def respond(self, request: Request) -> Answer:
        """Answer as a collector does."""
        known = {
            "/v1/traces": (_TRACES.ExportTraceServiceRequest, self.traces, self._traced),
            "/v1/metrics": (_METRICS.ExportMetricsServiceRequest, self.measured, self._measured),
        }
        if request.path not in known:
            return refusal(404, "no such path")
        problem = self._problem(request)
        if problem:
            return problem
        kind, kept, answer = known[request.path]
        try:
            kept.append(kind.FromString(_unpacked(request)))
        except (DecodeError, OSError, EOFError, zlib.error, ValueError):
            return refusal(400, "cannot read the request")
        return Answer(200, answer().SerializeToString(), PROTOBUF)

    def _problem(self, request: Request) -> Answer | None:
        if request.method != "POST":
            return refusal(405, "use POST")
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-protobuf":
            return refusal(415, "unsupported content type")
        missing = [name for name, text in self.wanted.items() if request.headers.get(name) != text]
        return refusal(401, f"wrong header: {missing[0]}") if missing else None

    def _traced(self) -> trace_service_pb2.ExportTraceServiceResponse:
        answer = _TRACES.ExportTraceServiceResponse()
        if self.rejected:
            answer.partial_success.rejected_spans = self.rejected
            answer.partial_success.error_message = "some spans were rejected"
        return answer

    def _measured(self) -> metrics_service_pb2.ExportMetricsServiceResponse:
        answer = _METRICS.ExportMetricsServiceResponse()
        if self.rejected:
            answer.partial_success.rejected_data_points = self.rejected
            answer.partial_success.error_message = "some data points were rejected"
        return answer


def _unpacked(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in ("gzip", "identity"):
        raise ValueError(encoding)
    return gzip.decompress(request.body) if encoding == "gzip" else request.body


@contextmanager
def start_otlp() -> Iterator[Otlp]:
    """Yield a collector that runs until the block ends."""
    service = Otlp()
    with serving(service.respond) as service.server:
        yield service
