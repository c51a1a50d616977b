"""The collector of the tests understands OpenTelemetry's own exporters, and answers as the specification says."""

import gzip

import httpx
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tests.patience import SOON
from tests.servers.otlp import PROTOBUF, attributes, refusal

KIND = PROTOBUF["Content-Type"]


def request(name="run"):
    whole = ExportTraceServiceRequest()
    whole.resource_spans.add().scope_spans.add().spans.add(name=name, trace_id=b"1" * 16, span_id=b"2" * 8)
    return whole.SerializeToString()


def send(otlp, content, path="/v1/traces", **headers):
    given = {"Content-Type": KIND} | {name.replace("_", "-"): text for name, text in headers.items()}
    return httpx.post(otlp.endpoint + path, content=content, headers=given, timeout=60)


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_spans_of_an_exporter(otlp, compression):
    provider = TracerProvider(resource=Resource({"service.name": "osiris"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{otlp.endpoint}/v1/traces", compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    given = {"rows": 3, "names": ["a", "b"], "ok": True}
    with tracer.start_as_current_span("run", attributes=given), tracer.start_as_current_span("step"):
        pass
    provider.shutdown()
    run, step = otlp.span("run"), otlp.span("step")
    assert attributes(run.attributes) == {"rows": 3, "names": ["a", "b"], "ok": True}
    assert step.parent_span_id == run.span_id
    assert otlp.resources[0]["service.name"] == "osiris"
    encoding = "gzip" if compression is Compression.Gzip else None
    assert otlp.requests[0].headers.get("content-encoding") == encoding


def test_metrics_of_an_exporter(otlp):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{otlp.endpoint}/v1/metrics"), 60_000)
    provider = MeterProvider([reader], Resource({"service.name": "osiris"}), shutdown_on_exit=False)
    provider.get_meter("tests").create_counter("rows").add(5, {"step": "a"})
    provider.force_flush()
    provider.get_meter("tests").create_counter("rows").add(2, {"step": "a"})
    provider.shutdown()
    (point,) = otlp.metrics["rows"].sum.data_points
    assert (point.as_int, attributes(point.attributes)) == (7, {"step": "a"})
    assert otlp.resources[0]["service.name"] == "osiris"


def test_partial_success(otlp):
    answer = ExportTraceServiceResponse.FromString(send(otlp, request()).content)
    assert not answer.HasField("partial_success")
    otlp.rejected = 2
    answer = send(otlp, request())
    assert (answer.status_code, answer.headers["content-type"]) == (200, KIND)
    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 2
    metrics = ExportMetricsServiceResponse.FromString(send(otlp, b"", "/v1/metrics").content)
    assert metrics.partial_success.rejected_data_points == 2


def test_refusals(otlp):
    otlp.refuse(429, "slow down", retry_after="1")
    answer = send(otlp, request())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert Status.FromString(answer.content).message == "slow down"
    otlp.refuse(None)
    otlp.server.script.append(refusal(503))
    assert [send(otlp, request()).status_code for _ in range(2)] == [503, 200]
    otlp.wanted = {"authorization": "Bearer x"}
    assert send(otlp, request()).status_code == 401
    assert send(otlp, request(), authorization="Bearer x").status_code == 200
    assert len(otlp.spans) == 2


def test_what_is_no_request(otlp):
    assert send(otlp, request(), "/v1/other").status_code == 404
    assert send(otlp, b"{}", Content_Type="application/json").status_code == 415
    assert httpx.get(otlp.endpoint + "/v1/traces").status_code == 405
    assert send(otlp, b"\xff\xff").status_code == 400
    assert send(otlp, request(), Content_Encoding="gzip").status_code == 400
    assert send(otlp, gzip.compress(request())[:-9], Content_Encoding="gzip").status_code == 400
    assert send(otlp, request(), Content_Encoding="br").status_code == 400
    assert send(otlp, gzip.compress(request()), Content_Encoding="gzip").status_code == 200
    assert [span.name for span in otlp.spans] == ["run"]


def test_faults(otlp):
    otlp.server.faults.hang = True
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            otlp.endpoint + "/v1/traces", content=request(), headers=PROTOBUF, timeout=httpx.Timeout(SOON, read=0.2)
        )
    otlp.server.faults.hang, otlp.server.faults.drop = False, True
    with pytest.raises(httpx.RemoteProtocolError):
        send(otlp, request())
