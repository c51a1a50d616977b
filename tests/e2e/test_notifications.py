"""Notifications of runs: to real receivers, each at most once, without values, and without an effect on the run."""

import datetime as dt
import email
import email.policy
import fcntl
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from tests.conftest import OSIRIS, kept
from tests.corpora.hostile_names import FILE_NAMES, NOT_FILE_NAMES
from tests.e2e import sessions
from tests.e2e.without import run_without
from tests.patience import SOON
from tests.servers.hooks import redirect
from tests.servers.http_double import Answer

import osiris as osiris_in_python
from osiris.api import notify_late, open_project
from osiris.notify.channels import deliver
from osiris.notify.message import late_body

ALL = "[failure, recovery, late, drift, rejected]"
CANARY = "zQ7canary-9x4-secret"
KEYS = [
    *("version", "id", "events", "project", "pipeline", "text", "status", "session", "run_id", "started_at"),
    *("ended_at", "cause", "rows_rejected", "written", "safe_to_retry", "retry", "next"),
]
HOSTILE = "shop <!channel> & `x` *b* \u202ebcc: a@example.com"


@pytest.fixture
def shop(osiris, tmp_path):
    """A project whose channels are given as keywords; its `data/orders.csv` can be taken away."""
    return Shop(osiris, tmp_path / "shop")


class Shop(sessions.Shop):
    def __init__(self, command, folder):
        super().__init__(command, folder)
        self.content = self.orders.read_text()

    def channels(self, *, events=ALL, timeout="5m", **addresses):
        """Configure channels, each with the variable of its name."""
        lines = [f'  {name}: "${{{name.upper()}_URL}}"' for name in addresses]
        self.write("osiris.yaml", "\n".join([f"notify:\n  events: {events}\n  timeout: {timeout}", *lines, ""]))
        self.write(".env", "".join(f"{name.upper()}_URL='{address}'\n" for name, address in addresses.items()))

    def write(self, path, text):
        (self.folder / path).write_text(text, encoding="utf-8")

    def run(self, *args, code=0, **options):
        done = self("run", "pipelines/example.yaml", "--json", "--new-run", *args, code=code, **options)
        return json.loads(done.stdout)

    def fail(self, **options):
        self.orders.unlink(missing_ok=True)
        return self.run(code=1, **options)

    def work(self):
        self.orders.write_text(self.content)
        return self.run()

    @property
    def record(self):
        return [json.loads(line) for line in (self.folder / ".osiris/notifications.jsonl").read_text().splitlines()]


def codes(envelope):
    return sorted(item["code"] for item in envelope["diagnostics"] if item["severity"] != "note")


def problem(envelope):
    return next(item["message"] for item in envelope["diagnostics"] if item["code"] == "NTF001")


def hint(envelope):
    return next(item["hint"] for item in envelope["diagnostics"] if item["code"] == "NTF001")


def bodies(hooks):
    return [request.json() for request in hooks.requests]


def test_a_failure_and_the_recovery_arrive_once_each(shop, hooks):
    shop.channels(webhook=f"{hooks.url}/alerts?token={CANARY}", events="[failure, recovery]")
    shop.work()
    assert hooks.requests == []
    failed = shop.fail()
    assert codes(failed) == ["DRV001"]
    recovered = shop.work()
    shop.work()
    shop("logs", "list")

    failure, recovery = bodies(hooks)
    assert list(failure) == list(recovery) == KEYS
    assert (failure["version"], failure["id"], failure["events"]) == (1, failed["data"]["session"], ["failure"])
    assert (failure["project"], failure["pipeline"], failure["status"]) == ("shop", "example", "failed")
    assert failure["cause"]["code"] == "DRV001"
    assert failure["cause"]["step"] == "orders"
    assert failure["cause"]["place"] == "pipelines/example.yaml:13:13"
    assert failure["written"] == [{"step": "report", "target": "output/revenue.csv", "rows": 0, "state": "nothing"}]
    assert failure["safe_to_retry"] is True
    assert failure["retry"] == "Nothing was delivered. A retry is safe, but fails until the cause is fixed."
    assert "osiris explain DRV001" in failure["next"]
    assert (recovery["id"], recovery["events"]) == (recovered["data"]["session"], ["recovery"])
    assert recovery["text"] == "The pipeline works again. The run is complete: 8 rows read, 4 written."
    assert recovery["cause"] is None
    assert {(one.method, one.path, one.query["token"]) for one in hooks.requests} == {("POST", "/alerts", CANARY)}
    assert [entry["id"] for entry in shop.record] == [failure["id"], recovery["id"]]
    assert CANARY not in str(shop.record)


def test_a_run_that_could_not_start_and_one_that_was_killed_are_failures(shop, hooks):
    shop.channels(webhook=hooks.url)
    shop.write(
        "pipelines/other.yaml",
        'oml_version: "0.1.0"\nname: other\nsteps:\n'
        "  - {id: a, component: sqlite.extractor, mode: read, config: {connection: '@sqlite.x', table: t}}\n"
        "  - {id: b, component: filesystem.csv_writer, mode: write, config: {path: output/x.csv}}\n",
    )
    shop.write("osiris_connections.yaml", 'version: 1\nconnections:\n  sqlite:\n    x: {path: "${UNSET_PATH}"}\n')
    shop("run", "pipelines/other.yaml", code=3)
    assert [(body["events"], body["cause"]["code"]) for body in bodies(hooks)] == [(["failure"], "CON005")]

    shop("run", "pipelines/example.yaml", code=-9, env={"OSIRIS_FAULT": "host/journal.append:8:kill"})
    assert len(hooks.requests) == 1
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: shop("logs", "list"), range(4)))
    (lost,) = bodies(hooks)[1:]
    assert (lost["events"], lost["status"], lost["cause"]["code"]) == (["failure"], "lost", "RUN008")


KILL = {"OSIRIS_FAULT": "host/journal.append:8:kill"}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("notify: [", {}),
        ("notify:\n  timeout: soon\n", {}),
        (None, {"env": {"OSIRIS_NOTIFY__TIMEOUT": "soon"}}),
        (None, {"args": ["--wait", "soon"]}),
    ],
)
def test_a_killed_run_is_notified_after_a_command_that_could_not_begin(content, options, shop, hooks):
    shop.channels(webhook=hooks.url)
    settings = (shop.folder / "osiris.yaml").read_text()
    shop("run", "pipelines/example.yaml", code=-9, env=KILL)
    shop.write("osiris.yaml", settings if content is None else content)
    shop("run", "pipelines/example.yaml", *options.get("args", ()), code=2, env=options.get("env"))
    shop.write("osiris.yaml", settings)
    assert hooks.requests == []
    shop("logs", "list")
    assert [body["status"] for body in bodies(hooks)] == ["lost"]


def in_production(shop, url):
    shop.channels()
    shop.write("osiris.yaml", 'profiles:\n  production:\n    notify: {webhook: "${HOOK}", timeout: 5m}\n')
    shop.write(".env", f"HOOK='{url}'\n")


@pytest.mark.parametrize("chosen", [("--profile", "production"), {"OSIRIS_PROFILE": "production"}], ids=str)
@pytest.mark.parametrize("command", [["status"], ["logs", "list"], ["schedule", "--once"]], ids=str)
def test_a_killed_run_is_notified_by_the_settings_of_its_own_profile(chosen, command, shop, hooks):
    in_production(shop, hooks.url)
    by_option = isinstance(chosen, tuple)
    environment = KILL if by_option else KILL | chosen
    shop("run", "pipelines/example.yaml", *(chosen if by_option else ()), code=-9, env=environment)
    shop(*command)
    assert [body["status"] for body in bodies(hooks)] == ["lost"]


def test_a_killed_run_without_a_profile_is_not_notified_by_that_of_the_next_command(shop, hooks):
    in_production(shop, hooks.url)
    for number, later in enumerate([{}, {"OSIRIS_PROFILE": "production"}]):
        shop("run", "pipelines/example.yaml", "--new-run", code=-9, env=KILL)
        shop("status", "--profile", "production", env=later)
        assert hooks.requests == [], number


@pytest.mark.parametrize(
    "command", [["logs", "list"], ["status"], ["config", "explain"], ["explain", "nothing"]], ids=str
)
def test_what_is_not_delivered_of_a_killed_run_is_a_warning_of_the_command(command, shop, hooks):
    shop.channels(webhook=hooks.url)
    shop("run", "pipelines/example.yaml", code=-9, env=KILL)
    hooks.always = Answer(500)
    envelope = json.loads(shop.call_any(*command, "--json").stdout)
    assert "NTF001" in codes(envelope)
    assert codes(json.loads(shop.call_any(*command, "--json").stdout)).count("NTF001") == 0


def test_what_is_not_delivered_of_a_killed_run_is_an_event_of_schedule_and_a_warning_in_python(shop, hooks, recwarn):
    shop.channels(webhook=hooks.url)
    hooks.always = Answer(500)
    shop("run", "pipelines/example.yaml", code=-9, env=KILL)
    first, *_, answer = map(json.loads, shop("schedule", "--once", "--json").stdout.splitlines())
    assert (first["event"], [each["code"] for each in first["diagnostics"]]) == ("problem", ["NTF001"])
    assert answer["diagnostics"] == []
    shop("run", "pipelines/example.yaml", "--new-run", code=-9, env=KILL)
    with pytest.warns(UserWarning, match="NTF001"):
        osiris_in_python.open_project(shop.folder).run("pipelines/example.yaml")


@pytest.mark.parametrize(
    "command",
    [
        ["validate"],
        ["fmt"],
        ["connections", "list"],
        ["export", "cron", "pipelines/example.yaml", "--cron", "0 2 * * *"],
    ],
    ids=str,
)
def test_a_command_that_asks_nobody_leaves_a_killed_run_to_the_next_one(command, shop, hooks):
    shop.channels(webhook=hooks.url)
    shop("run", "pipelines/example.yaml", code=-9, env=KILL)
    shop(*command)
    assert osiris_in_python.open_project(shop.folder).validate().ok
    assert hooks.requests == []
    shop("logs", "list")
    assert len(hooks.requests) == 1


@pytest.mark.parametrize("again", ["run", "replay"])
def test_a_run_notifies_of_the_run_that_it_waited_for(again, shop, hooks):
    shop.channels(webhook=hooks.url)
    shop.write("pipelines/slow.yaml", sessions.slow(1))
    before = shop.json("run", "pipelines/slow.yaml")["data"]["session"]
    first, session = shop.begin()
    shop.write("pipelines/other.yaml", sessions.slow(1).replace("name: slow", "name: other"))
    command = [OSIRIS, again, "pipelines/other.yaml" if again == "run" else before]
    with subprocess.Popen(command, cwd=shop.folder, env=kept(), stderr=subprocess.PIPE, text=True) as second:
        assert any("waiting for run of 'slow'" in line for line in second.stderr)
        first.kill()
        first.wait()
        rest = second.stderr.read()
    assert second.returncode == 0, rest
    assert "NTF" not in rest
    assert [(body["session"], body["status"]) for body in bodies(hooks)] == [(session, "lost")]


def test_drift_and_rejected_rows_without_their_values(shop, hooks):
    shop.channels(webhook=hooks.url)
    text = (shop.folder / "pipelines/example.yaml").read_text()
    shop.write("pipelines/example.yaml", text.replace("orders.csv\n", "orders.csv\n      on_reject: quarantine\n", 1))
    shop("compile", "pipelines/example.yaml")
    shop.content += f"{CANARY},{CANARY},{CANARY},{CANARY}\n"
    shop.work()
    shop.orders.write_text("other\n1\n")
    shop("run", "--last-compile", "--new-run", code=6)
    rejected, drifted = bodies(hooks)
    assert (rejected["events"], rejected["rows_rejected"]) == (["rejected"], 1)
    assert rejected["text"] == "The run is complete: 9 rows read, 1 rejected, 4 written. Rejected by: orders."
    assert drifted["events"] == ["failure", "drift"]
    assert drifted["cause"]["code"] == "DAT011"
    assert CANARY not in json.dumps(bodies(hooks))


@pytest.mark.parametrize("fault", ["host/journal.sync:1:kill", "host/journal.sync:1:raise"])
def test_what_is_recorded_and_not_sent_is_never_sent(fault, shop, hooks):
    shop.channels(webhook=hooks.url)
    shop.orders.unlink()
    done = shop.call_any("run", "pipelines/example.yaml", env={"OSIRIS_FAULT": fault})
    assert done.returncode == (-9 if "kill" in fault else 1)
    assert ("NTF002" in done.stderr) == ("raise" in fault)
    shop("logs", "list")
    assert hooks.requests == []
    shop.fail()
    assert len(hooks.requests) == 1


ADDRESS, SERVICE = "correct the address in the variable WEBHOOK_URL", "the fault is with the service"
NOT, PERHAPS = "was not delivered by", "may not have been delivered by"
FAULTS = {
    "404": (Answer(404, CANARY), NOT, "status 404", ADDRESS),
    "500": (Answer(500, CANARY), NOT, "status 500", SERVICE),
    "503": (Answer(503, CANARY), NOT, "status 503", SERVICE),
    "429": (Answer(429, CANARY), NOT, "status 429", "accepts no more messages"),
    "redirect": (redirect("http://127.0.0.1:9/"), NOT, "which is not followed", "leads into the variable WEBHOOK_URL"),
    "hang": (
        None,
        PERHAPS,
        "no answer within 1 s",
        "it may have arrived; if the service is slow, increase notify.timeout",
    ),
    "drop": (None, PERHAPS, "", "it may have arrived"),
    "gone": (None, NOT, "refused", "check that host and port in the variable WEBHOOK_URL can be reached"),
    "no address": (None, NOT, "is not an address like", ADDRESS),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_receiver_that_fails_or_hangs_is_a_warning(fault, shop, hooks):
    answer, verdict, reason, remedy = FAULTS[fault]
    address = f"{hooks.url}/{CANARY}" if fault != "no address" else CANARY
    shop.channels(webhook=address, timeout="1s" if fault == "hang" else "5m")
    hooks.always, hooks.faults.hang, hooks.faults.drop = answer, fault == "hang", fault == "drop"
    if fault == "gone":
        hooks.stop()
    start = time.monotonic()
    envelope = shop.fail()
    assert time.monotonic() - start < SOON
    assert [item["code"] for item in envelope["diagnostics"] if item["severity"] != "note"] == ["DRV001", "NTF001"]
    assert verdict in problem(envelope)
    assert reason in problem(envelope)
    assert remedy in hint(envelope)
    assert [entry["event"] for entry in shop.record] == ["notified", "not_delivered"]
    assert CANARY not in json.dumps(envelope) + str(shop.record)
    hooks.always, hooks.faults.hang, hooks.faults.drop = None, False, False
    number = len(hooks.requests)
    shop("logs", "list")
    assert len(hooks.requests) == number


def test_what_people_see_first_is_the_cause_and_the_wait_is_announced(shop, hooks):
    shop.channels(webhook=hooks.url)
    hooks.always = Answer(500)
    shop.orders.unlink()
    lines = shop("run", "pipelines/example.yaml", code=1).stderr.splitlines()
    (waits, cause, late) = [
        next(number for number, line in enumerate(lines) if text in line)
        for text in ("reporting to webhook", "DRV001", "NTF001")
    ]
    assert waits < cause < late
    hooks.always = None
    shop.orders.write_text(shop.content)
    assert "reporting to webhook" in shop("run", "pipelines/example.yaml", "--new-run").stderr
    assert "reporting" not in shop("run", "pipelines/example.yaml", "--new-run").stderr


def test_a_channel_without_an_address_is_a_warning_of_every_run(shop, hooks):
    shop.channels(webhook="", slack=hooks.url)
    assert codes(shop.work()) == ["NTF003"]
    assert codes(shop.work()) == ["NTF003"]
    assert codes(shop.fail()) == ["DRV001", "NTF003"]
    assert len(hooks.requests) == 1


def test_a_record_that_another_process_locks_is_a_warning(shop, hooks):
    shop.channels(webhook=hooks.url, timeout="1s")
    path = shop.folder / ".osiris" / "notifications.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as record:
        fcntl.flock(record, fcntl.LOCK_SH)
        start = time.monotonic()
        envelope = shop.fail()
        assert time.monotonic() - start < SOON
    assert codes(envelope) == ["DRV001", "NTF002"]
    (reason,) = (item["message"] for item in envelope["diagnostics"] if item["code"] == "NTF002")
    assert "another process has locked it for 1 s" in reason
    assert hooks.requests == []
    shop.channels(webhook=hooks.url)
    shop.fail()
    assert len(hooks.requests) == 1


@pytest.mark.parametrize("fault", ["421", "500", "hangs", "drops"])
def test_a_mail_that_was_accepted_is_delivered_however_the_session_ends(fault, smtp):
    if fault in ("hangs", "drops"):
        getattr(smtp, fault).add("QUIT")
    else:
        smtp.replies["QUIT"] = f"{fault} 4.3.2 Shutting down"
    mail = f"smtp://{smtp.host}:{smtp.port}/?from=osiris@example.com&to=ada@example.com"
    body = late_body("orders", dt.datetime(2026, 11, 30, 2, tzinfo=dt.UTC), "shop")
    start = time.monotonic()
    assert deliver([("email", lambda: mail, body)], SOON) == [None]
    assert time.monotonic() - start < SOON
    assert len(smtp.messages) == 1


def test_slack_shows_text_as_it_is(osiris, tmp_path, slack):
    shop = Shop(osiris, tmp_path / HOSTILE)
    shop.channels(slack=slack.url)
    shop.fail()
    (message,) = slack.messages
    assert "&lt;!channel&gt; &amp; `x` *b*" in message["text"]
    assert "<" not in message["text"]
    assert "\u202e" not in message["text"]
    assert message["mrkdwn"] is False
    assert "osiris explain DRV001" in message["text"]
    slack.refuse("no_service")
    assert codes(shop.fail()) == ["DRV001", "NTF001"]


def test_hostile_names_stay_text_in_every_channel(hooks, slack, smtp):
    """One message for each name, sent in the form of every channel: as the name of a project and of a target."""
    names = [one.name for one in (*FILE_NAMES, *NOT_FILE_NAMES)]
    mail = f"smtp://{smtp.host}:{smtp.port}/?from=osiris@example.com&to=ada@example.com"
    due = dt.datetime(2026, 11, 30, 2, tzinfo=dt.UTC)
    for name in names:
        written = [{"step": "s", "target": name, "rows": 1, "state": "written"}]
        body = late_body("orders", due, name) | {"written": written, "next": [f"osiris run {name}"]}
        assert deliver([("slack", lambda: slack.url, body), ("email", lambda: mail, body)], SOON) == [None, None], name
    assert deliver([("webhook", lambda: hooks.url, body)], SOON) == [None]
    assert hooks.requests[0].json() == body
    for message, name in zip(slack.messages, names, strict=True):
        assert not set("<>") & {*message["text"]}, name
        assert len(message["text"]) < 4_000
    headers = [sorted(email.message_from_bytes(one.data, policy=email.policy.default).keys()) for one in smtp.messages]
    assert len(headers) == len(names)
    assert headers.count(headers[0]) == len(names)
    assert {(one.sender, one.recipients) for one in smtp.messages} == {("osiris@example.com", ("ada@example.com",))}


def test_a_run_that_was_terminated_is_a_failure_and_one_that_was_interrupted_is_not(shop, hooks):
    shop.channels(webhook=hooks.url)
    for number in (signal.SIGINT, signal.SIGTERM):
        process, _ = shop.begin("--new-run")
        process.send_signal(number)
        assert process.wait(60) == 128 + number
    assert [(body["events"], body["status"]) for body in bodies(hooks)] == [(["failure"], "cancelled")]
    assert bodies(hooks)[0]["cause"]["code"] == "RUN003"


def test_email_is_plain_text_with_its_own_headers_only(osiris, tmp_path, smtp_starttls, smtp_tls, smtp):
    shop = Shop(osiris, tmp_path / (HOSTILE.replace(": ", ":\n") + "ž"))
    sides = f"/?from=osiris@example.com&to={quote('ada@example.com, bob@example.com')}"
    for service, scheme in ((smtp_starttls, "smtp"), (smtp_tls, "smtps"), (smtp, "smtp")):
        login = f"{quote(service.user, '')}:{quote(service.password, '')}@" if service.user else ""
        shop.channels(email=f"{scheme}://{login}{service.host}:{service.port}{sides}")
        env = {"SSL_CERT_FILE": str(service.ca)} if service.ca else {}
        assert codes(shop.fail(env=env)) == ["DRV001"]
        (message,) = service.messages
        assert (message.sender, message.recipients) == ("osiris@example.com", ("ada@example.com", "bob@example.com"))
        assert (message.secure, message.user) == (bool(service.user), service.user)
        parsed = email.message_from_bytes(message.data, policy=email.policy.default)
        assert parsed["Bcc"] is None
        assert parsed["Subject"].startswith("example failed (shop <!channel> & `x` *b*")
        assert parsed.get_content_type() == "text/plain"
        assert "DRV001 data/orders.csv does not exist" in parsed.get_content()

    smtp.unknown.add("ada@example.com")
    assert "was not delivered to all by email (${EMAIL_URL}): the server refused 1 of the recipients" in problem(
        shop.fail()
    )
    smtp.drops.add("DATA")
    assert "may not have been delivered" in problem(shop.fail())
    smtp.drops.clear()
    shop.channels(email=f"smtp://u:{CANARY}@{smtp.host}:{smtp.port}{sides}")
    envelope = shop.fail()
    assert "no encryption" in problem(envelope)
    assert CANARY not in json.dumps(envelope) + str(smtp.commands)
    shop.channels(email=f"smtps://{smtp_tls.host}:{smtp_tls.port}{sides}")
    assert codes(shop.fail()) == ["DRV001", "NTF001"]  # a certificate of an unknown authority


def test_apprise_sends_and_loads_no_file(shop, hooks, tmp_path):
    shop.channels(apprise=hooks.url.replace("http", "json") + "/x")
    shop.fail()
    assert hooks.requests[0].json()["title"] == "example failed (shop)"
    assert "DRV001 data/orders.csv does not exist" in hooks.requests[0].json()["message"]
    (tmp_path / "template.json").write_text(json.dumps({"text": CANARY}))
    shop.channels(apprise=f"workflows://{hooks.url[7:]}/a/b/?template={tmp_path}/template.json&verify=no")
    done = shop("run", "pipelines/example.yaml", code=1)
    assert "NTF001" in done.stderr
    assert "without files" in done.stderr
    assert CANARY not in str([one.body for one in hooks.requests])


def test_an_address_may_come_from_a_secret_store(shop, hooks, vault):
    vault.put("secret/alerts", {"url": hooks.url})
    shop.channels(webhook=hooks.url)
    text = (shop.folder / "osiris.yaml").read_text()
    shop.write("osiris.yaml", text.replace("WEBHOOK_URL", "vault:secret/alerts#url"))
    assert codes(shop.fail(env=vault.environment)) == ["DRV001"]
    assert len(hooks.requests) == 1
    shop.write("osiris.yaml", text.replace("WEBHOOK_URL", "vault:secret/alerts#other"))
    envelope = shop.fail(env=vault.environment)
    assert "webhook (${vault:secret/alerts#other}): it has no field 'other'" in problem(envelope)
    assert "variable" not in hint(envelope)
    assert "${vault:secret/alerts#other}" in hint(envelope)
    shop.write("osiris.yaml", text.replace("WEBHOOK_URL", "vault:secret/alerts#url"))
    hooks.always = Answer(404)
    assert "correct the address in the secret ${vault:secret/alerts#url}; " in hint(shop.fail(env=vault.environment))
    vault.server.faults.hang = True
    shop.write("osiris.yaml", (shop.folder / "osiris.yaml").read_text().replace("5m", "1s"))
    envelope = shop.fail(env=vault.environment)
    assert "was not delivered" in problem(envelope)
    assert "its secret store did not answer within 1 s" in problem(envelope)


def test_late_pipelines_are_reported_once_for_each_due_time(shop, hooks):
    shop.channels(webhook=hooks.url)
    due = dt.datetime(2026, 11, 30, 2, tzinfo=dt.UTC)
    workspace = open_project(shop.folder, {})
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: notify_late(workspace, {"orders": due, "sales": due}), range(4)))
    assert notify_late(workspace, {"orders": due}) == []
    assert sorted(body["pipeline"] for body in bodies(hooks)) == ["orders", "sales"]
    notify_late(workspace, {"orders": due + dt.timedelta(days=1)})
    last = bodies(hooks)[-1]
    assert (last["id"], last["due"]) == ("orders@20261201T020000Z", "2026-12-01T02:00:00Z")
    shop.channels(webhook=hooks.url, events="[failure]")
    assert notify_late(open_project(shop.folder, {}), {"sales": due + dt.timedelta(days=2)}) == []
    assert len(hooks.requests) == 3


def test_status_reports_what_is_late(shop, hooks):
    shop.channels(webhook=hooks.url)
    text = shop.example.read_text().replace("0.1.0", "0.2.0")
    hour = (dt.datetime.now(dt.UTC).hour + 12) % 24  # the hour does not come while the test works
    shop.example.write_text(text.replace("params:", f'schedule: {{cron: "0 {hour} * * *"}}\nparams:'))
    os.utime(shop.example, times=(time.time() - 3 * 86_400,) * 2)
    for _ in range(2):
        assert "SCH002" in shop("status", "--check", code=1).stderr
    (late,) = bodies(hooks)
    assert (late["events"], late["pipeline"]) == (["late"], "example")
    assert "has not run since" in late["text"]
    due = dt.datetime.fromisoformat(late["due"])
    assert (due.hour, due.minute) == (hour, 0)
    assert dt.timedelta(days=1) < dt.datetime.now(dt.UTC) - due < dt.timedelta(days=3)


def test_a_test_message_reaches_every_channel(shop, hooks, slack, smtp):
    shop.channels(webhook=hooks.url, slack=slack.url, email=f"smtp://{smtp.host}:{smtp.port}/?from=a@b.c&to=d@e.f")
    assert shop("notify", "test").stdout.count("accepted") == 3
    assert bodies(hooks)[0]["events"] == ["test"]
    assert slack.messages[0]["text"].startswith("osiris test message (shop)")
    assert len(smtp.messages) == 1
    shop.write(".env", "")
    done = shop("notify", "test", code=1)
    assert done.stderr.count("NTF003") == 3
    shop.channels()
    assert "no channel is configured" in shop("notify", "test").stdout


def test_without_apprise_the_other_channels_send(shop, hooks, tmp_path):
    shop.channels(webhook=hooks.url, apprise="json://localhost/")
    done = run_without("apprise", tmp_path, shop.folder, "notify", "test")
    assert done.returncode == 1
    assert done.stdout == "webhook ${WEBHOOK_URL}  accepted\n"
    assert done.stderr.startswith("warning: NTF004")
    assert "install it: pip install 'apprise<3" in done.stderr
