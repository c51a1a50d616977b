"""Spans and metrics of runs: to a real collector, only if enabled, without values, and without an effect on the run."""

import json
import time
from datetime import datetime

import pytest
from tests.e2e.sessions import new_project
from tests.e2e.without import run_without
from tests.patience import SOON
from tests.servers.http_double import Answer
from tests.servers.otlp import attributes

CANARY = "zQ7canary-9x4-secret"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def shop(osiris, tmp_path, otlp):
    folder = new_project(tmp_path / "shop")

    def run(*args, enabled=True, timeout="5m", code=0, env=None):
        (folder / "osiris.yaml").write_text(f"otel: {{enabled: {str(enabled).lower()}, timeout: {timeout}}}\n")
        (folder / ".env").write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={otlp.endpoint}\n")
        done = osiris("run", "pipelines/example.yaml", "--json", "--new-run", *args, cwd=folder, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    run.folder = folder
    run.record = lambda session: json.loads((folder / "logs" / session / "run.json").read_text())
    run.osiris = lambda *args, **options: osiris(*args, cwd=folder, **options)
    return run


def warnings(envelope):
    return [item for item in envelope["diagnostics"] if item["severity"] == "warning"]


def values(otlp):
    """Return the only data point of each metric: its value, or count and sum; and its attributes."""
    found = {}
    for name, metric in otlp.metrics.items():
        (point,) = [*metric.sum.data_points, *metric.histogram.data_points]
        number = point.as_int if metric.WhichOneof("data") == "sum" else (point.count, point.sum)
        found[name] = (number, attributes(point.attributes))
    return found


def test_a_run_is_a_trace_with_a_span_for_each_step_and_metrics(shop, otlp):
    session = shop(env={"TRACEPARENT": f"00-{TRACE}-{PARENT}-01"})["data"]["session"]
    record = shop.record(session)
    whole, *steps = [otlp.span(name) for name in ("run example", "step orders", "step revenue", "step report")]
    assert len(otlp.spans) == 4
    assert {span.trace_id.hex() for span in otlp.spans} == {TRACE}
    assert whole.parent_span_id.hex() == PARENT
    assert {step.parent_span_id for step in steps} == {whole.span_id}
    start, end = (datetime.fromisoformat(record[key]).timestamp() for key in ("started_at", "ended_at"))
    assert whole.start_time_unix_nano / 1e9 == pytest.approx(start, abs=1e-5)
    assert whole.end_time_unix_nano / 1e9 == pytest.approx(end, abs=1e-5)
    for step in steps:
        assert whole.start_time_unix_nano <= step.start_time_unix_nano < step.end_time_unix_nano
        assert step.end_time_unix_nano <= whole.end_time_unix_nano + 1e7
    known = attributes(whole.attributes)
    assert (
        known.items() >= {"osiris.session": session, "osiris.pipeline": "example", "osiris.status": "complete"}.items()
    )
    report = attributes(steps[2].attributes)
    assert report.items() >= {"osiris.component": "filesystem.csv_writer", "osiris.rows_out": 4}.items()

    assert otlp.resources[0].items() >= {"service.name": "osiris", "osiris.project": "shop"}.items()
    found, by_pipeline = values(otlp), {"osiris.pipeline": "example"}
    duration, ended = found.pop("osiris.run.duration")
    assert duration == (1, pytest.approx(record["duration_ms"] / 1000))
    assert ended == {**by_pipeline, "osiris.status": "complete"}
    assert found == {
        "osiris.runs": (1, ended),
        "osiris.rows.read": (8, by_pipeline),
        "osiris.rows.written": (4, by_pipeline),
        "osiris.rows.rejected": (0, by_pipeline),
    }
    assert otlp.metrics["osiris.runs"].sum.aggregation_temporality == 1  # delta


def test_nothing_is_sent_unless_enabled(shop, otlp):
    shop(enabled=False)
    shop(env={"OTEL_SDK_DISABLED": "true"})
    assert otlp.requests == []
    shop(env={"TRACEPARENT": f"00-{TRACE}-{PARENT}-00"})  # the caller does not record its trace
    assert otlp.spans == []
    assert "osiris.runs" in otlp.metrics


def test_a_failure_has_its_cause_and_no_values(shop, otlp):
    shop(enabled=False)
    orders = shop.folder / "data/orders.csv"
    orders.write_text(orders.read_text() + f"{CANARY},{CANARY},{CANARY},{CANARY}\n")
    (shop.folder / "osiris.yaml").write_text("otel: {enabled: true, timeout: 5m}\n")
    done = shop.osiris("run", "--last-compile", "--new-run", env={"OTEL_SERVICE_NAME": "shop-nightly"})
    assert done.returncode in (1, 6), done.stderr
    whole, step = otlp.span("run example"), otlp.span("step orders")
    assert (whole.status.code, step.status.code) == (2, 2)
    assert step.status.message.startswith(attributes(step.attributes)["error.type"])
    assert values(otlp)["osiris.runs"][1]["osiris.status"] == "failed"
    assert otlp.resources[0]["service.name"] == "shop-nightly"
    assert not any(CANARY.encode() in request.body for request in otlp.requests)
    assert not any("SELECT" in str(span) for span in otlp.spans)


def test_a_killed_run_is_sent_by_the_next_command(shop, otlp):
    shop(enabled=True)
    before = len(otlp.spans)
    done = shop.osiris("run", "pipelines/example.yaml", "--new-run", env={"OSIRIS_FAULT": "host/journal.append:9:kill"})
    assert done.returncode == -9
    assert len(otlp.spans) == before
    shop.osiris("logs", "list")
    shop.osiris("logs", "list")
    assert [attributes(span.attributes)["osiris.status"] for span in otlp.spans[before:] if "run" in span.name] == [
        "lost"
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(401, CANARY), "answered with status 401"),
        (Answer(503, CANARY), "refused them for the moment"),
        ("hang", "did not answer in time"),
        ("gone", "was not reached"),
    ],
    ids=["401", "503", "hang", "gone"],
)
def test_a_collector_that_fails_or_hangs_is_a_warning(answer, reason, shop, otlp):
    otlp.server.always = answer if isinstance(answer, Answer) else None
    otlp.server.faults.hang = answer == "hang"
    if answer == "gone":
        otlp.server.stop()
    start = time.monotonic()
    (warning,) = warnings(shop(timeout="3s" if answer == "hang" else "5m"))
    assert time.monotonic() - start < SOON
    assert warning["code"] == "NTF005"
    assert reason in warning["message"]
    assert f"collector at {otlp.endpoint}: " in warning["message"]
    assert CANARY not in warning["message"]


def test_the_collectors_that_were_tried_are_named_without_logins(shop, otlp):
    otlp.server.always = Answer(401)
    host = otlp.endpoint.partition("://")[2]
    env = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://u:{CANARY}@{host}/{CANARY}?k={CANARY}"}
    (warning,) = warnings(shop(env=env))
    assert f"at http://{host}: " in warning["message"]
    assert CANARY not in json.dumps(warning)
    env = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:9/v1/metrics"}
    (warning,) = warnings(shop(env=env))
    assert f"at http://{host} and http://127.0.0.1:9: " in warning["message"]


def test_empty_variables_are_as_if_they_were_not_set(shop, otlp):
    names = ("EXPORTER_OTLP_TRACES_ENDPOINT", "EXPORTER_OTLP_CERTIFICATE", "EXPORTER_OTLP_HEADERS", "SERVICE_NAME")
    assert warnings(shop(env={f"OTEL_{name}": "" for name in names})) == []
    assert len(otlp.spans) == 4
    assert otlp.resources[0]["service.name"] == "osiris"


def test_without_the_libraries_a_run_is_complete(shop, otlp, tmp_path):
    shop()
    done = run_without(
        "opentelemetry_sdk", tmp_path, shop.folder, "run", "pipelines/example.yaml", "--new-run", "--json"
    )
    assert done.returncode == 0, done.stderr
    (warning,) = warnings(json.loads(done.stdout))
    assert warning["code"] == "NTF006"
    assert warning["hint"].startswith("install them: pip install 'opentelemetry-")
