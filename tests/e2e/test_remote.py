"""`--e2b`: the same run in a sandbox of E2B, here a local service with the unmodified client."""

import json
import os
import signal
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.conftest import KEPT, OSIRIS
from tests.parity import told
from tests.parity.cases import FOREVER, READ, WRITE, Case, lay_out, read, sql, write
from tests.patience import started, wait_until
from tests.servers.e2b import AWKWARD

ENDLESS = sql(FOREVER)
CANARY = "canary-7f3a91-secret"
GATE = 4712
WITH_SECRET = """connections:
  postgres:
    shop: {host: "${SHOP_HOST}", port: "${SHOP_PORT}", database: "${SHOP_DATABASE}", user: "${SHOP_USER}",
      password: "${SHOP_PASSWORD}"}
"""


class Desk:
    def __init__(self, osiris, folder, service):
        lay_out(folder)
        self.folder, self._osiris, self.service = folder, osiris, service
        self.env = service.environment
        self.first = len(service.sandboxes)

    def save(self, *steps):
        (self.folder / "case.yaml").write_text(Case(steps).text("case"))

    def __call__(self, *words, **env):
        return self._osiris(*words, cwd=self.folder, env=self.env | env, timeout=600)

    def run(self, *words, **env):
        done = self("run", "case.yaml", "--e2b", "--json", *words, **env)
        found = json.loads(done.stdout)
        return (
            done.returncode,
            found["data"],
            [item["code"] for item in found["diagnostics"] if item["code"] != "OML032"],
        )

    def begin(self, **env):
        """Start a run, and return its process once its first step has begun."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        words = [OSIRIS, "run", "case.yaml", "--e2b", "--verbose"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        process = subprocess.Popen(words, cwd=self.folder, env=kept | self.env | env, text=True, **quiet)
        while " step_start " not in (line := process.stderr.readline()):
            assert line
        return process

    @property
    def sandboxes(self):
        return self.service.sandboxes[self.first :]

    def summary(self):
        return json.loads((told.session_of(self.folder) / "run.json").read_text())


@pytest.fixture
def desk(osiris, tmp_path, e2b):
    made = Desk(osiris, tmp_path / "project", e2b)
    yield made
    e2b.faults.clear()
    assert [sandbox.alive for sandbox in made.sandboxes] == [False] * len(made.sandboxes)


def test_a_run_says_where_it_ran_and_what_that_took(desk):
    desk.save(READ, WRITE)
    assert desk.run()[0] == 0
    summary = desk.summary()
    assert (summary["adapter"], summary["status"]) == ("e2b", "complete")
    metrics = {m["metric"]: m["unit"] for m in told.lines(told.session_of(desk.folder) / "metrics.jsonl")}
    units = {"bootstrap_ms": "ms", "upload_bytes": "bytes", "fetch_bytes": "bytes", "adapter_overhead_ms": "ms"}
    assert metrics.items() >= units.items()
    assert summary["remote"].keys() == units.keys()
    desk("logs", "html", "last", "--output", "page.html")
    page = (desk.folder / "page.html").read_text()
    assert '<span class="badge" id="badge">E2B</span>' in page
    assert f"{summary['remote']['upload_bytes']:,} bytes sent" in page
    (sandbox,) = desk.sandboxes
    assert sandbox.asked["allow_internet_access"] is False


def test_lines_in_any_pieces_and_cut_streams_tell_the_same(desk, e2b):
    desk.save(READ, sql("SELECT * FROM orders ORDER BY id"), WRITE)
    e2b.faults.chunk_sizes = AWKWARD
    e2b.faults.cut_output(after=700, times=4)
    code, data, _ = desk.run()
    assert (code, data["status"]) == (0, "complete")
    events = told.events(desk.folder)
    assert [e["event"] for e in events].count("step_complete") == 3


@pytest.mark.long
def test_a_stream_that_freezes_is_left_for_another(desk, e2b):
    desk.save(READ, sql("SELECT count(*) AS n FROM orders a, orders b, orders c, orders d"), WRITE)
    process = desk.begin()
    (sandbox,) = desk.sandboxes
    sandbox.faults.frozen = True
    time.sleep(7)
    sandbox.faults.frozen = False
    process.communicate(timeout=300)
    assert (process.returncode, desk.summary()["status"]) == (0, "complete")


@pytest.mark.long
def test_a_service_that_freezes_for_good_ends_the_run(desk):
    desk.save(READ, ENDLESS, WRITE)
    process = desk.begin()
    (sandbox,) = desk.sandboxes
    sandbox.faults.frozen = True
    process.communicate(timeout=300)
    assert (process.returncode, desk.summary()["status"]) == (1, "failed")
    assert desk.summary()["diagnostics"][-1]["code"] == "RUN001"
    sandbox.faults.frozen = False
    sandbox.kill()


def test_ctrl_c_ends_the_sandbox_and_brings_back_what_there_is(desk):
    bad = ', dtype: {id: int64, price: "decimal(9,2)"}, on_reject: quarantine'
    first = write(path="output/first.csv", name="first", needs="needs: [bad],")
    desk.save(
        read(path="data/bad.csv", more=bad, name="bad"),
        first,
        READ.replace("mode", "needs: [first], mode"),
        ENDLESS,
        WRITE,
    )
    process = desk.begin()

    def is_first_written():
        text = (told.session_of(desk.folder) / "run.json").read_text()
        return '"first"' in text and '"outputs":{}' not in text

    wait_until(is_first_written)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert (process.returncode, desk.summary()["status"]) == (130, "cancelled")
    assert (desk.folder / "output" / "first.csv").exists()
    assert "wrong" in told.artifacts(desk.folder)["bad/rejected.csv"].decode()


def test_no_secret_is_where_others_could_look(desk, postgres):
    database = postgres.new_database()
    postgres.run(f"CREATE ROLE canary LOGIN PASSWORD '{CANARY}'", database=database)
    postgres.run(
        f"""CREATE FUNCTION last_row() RETURNS integer VOLATILE LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN 0; END'""",
        "CREATE VIEW t AS SELECT generate_series(1, 1500) AS id UNION ALL SELECT last_row()",
        "GRANT SELECT ON t TO canary",
        database=database,
    )
    fields = postgres.fields(database) | {"user": "canary", "password": CANARY}
    names = ("host", "port", "database", "user", "password")
    (desk.folder / "osiris_connections.yaml").write_text(WITH_SECRET)
    (desk.folder / "env").write_text("".join(f"SHOP_{name.upper()}={fields[name]}\n" for name in names))
    source = 'config: {connection: "@postgres.shop", table: t}'
    reading = f"{{id: orders, component: postgres.extractor, mode: read, {source}}}"
    desk.save(reading, sql("SELECT count(*) AS n FROM orders"), WRITE)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    words = [OSIRIS, "run", "case.yaml", "--e2b", "--verbose", "--e2b-env-from", "env"]
    options = {"cwd": desk.folder, "env": kept | desk.env, "text": True, "stderr": subprocess.PIPE}
    with closing(postgres.connect(database)) as keeper, started(words, **options) as process:
        keeper.execute("SELECT pg_advisory_lock(%s)", [GATE])  # for which the last row is waiting
        while " step_start " not in (line := process.stderr.readline()):
            assert line
        (sandbox,) = desk.sandboxes
        seen = {}
        for pid in sandbox.pids():
            with suppress(FileNotFoundError, ProcessLookupError):  # of a short command
                for name in ("environ", "cmdline"):
                    seen[f"{pid} {name}"] = Path(f"/proc/{pid}/{name}").read_bytes()
        assert any(b"osiris.runner.worker" in content for name, content in seen.items() if name.endswith(" cmdline"))
        seen |= {
            str(path): path.read_bytes() for path in sandbox.tree.rglob("*") if path.is_file() and not path.is_symlink()
        }
        keeper.execute("SELECT pg_advisory_unlock_all()")
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    seen |= {str(path): path.read_bytes() for path in (desk.folder / "logs").rglob("*") if path.is_file()}
    seen["said"] = said.encode()
    seen["asked"] = repr([(r.path, r.query, r.headers) for r in desk.service.requests]).encode()
    seen["sandbox"] = repr(sandbox.asked).encode()
    assert len(seen) > 100
    assert [name for name, content in seen.items() if CANARY.encode() in content] == []
    assert fields["host"] in sandbox.asked["network"]["allowOut"]


@pytest.mark.parametrize(
    ("words", "env", "code", "exit_code"),
    [
        ((), {"E2B_API_KEY": ""}, "SBX021", 3),
        (("--e2b-template", "nowhere"), {}, "SBX023", 2),
        ((), {"E2B_API_KEY": "wrong"}, "SBX022", 3),
    ],
)
def test_what_is_missing_is_named(desk, words, env, code, exit_code):
    desk.save(READ, WRITE)
    found = desk.run(*words, **env)
    assert (found[0], found[2]) == (exit_code, [code])


def test_a_bare_template_is_named_with_both_remedies(osiris, tmp_path):
    from tests.servers.e2b import e2b_service

    with e2b_service() as service:
        desk = Desk(osiris, tmp_path / "project", service)
        desk.save(READ, WRITE)
        done = desk("run", "case.yaml", "--e2b", "--e2b-template", "base")
        assert done.returncode == 2
        assert "SBX024" in done.stderr
        assert "osiris sandboxes build" in done.stderr
        assert "--e2b-install-deps" in done.stderr


def test_without_any_registry_nothing_can_be_installed(osiris, tmp_path):
    from tests.servers.e2b import e2b_service

    with e2b_service() as service:
        desk = Desk(osiris, tmp_path / "project", service)
        desk.save(READ, WRITE)
        index = "http://127.0.0.1:9/simple"
        service.templates.all[0].base = type(service.templates.all[0].base)(
            commands=(
                f"mkdir -p .config/pip; printf '[global]\\nindex-url={index}\\nretries=0\\n' > .config/pip/pip.conf",
            )
        )
        here = {"PIP_INDEX_URL": index, "PIP_RETRIES": "0"}
        assert desk.run("--e2b-install-deps", **here)[::2] == (3, ["SBX025"])


def test_sandboxes_are_listed_ended_and_their_template_built(desk):
    import e2b

    key = {
        "api_key": desk.env["E2B_API_KEY"],
        "api_url": desk.env["E2B_API_URL"],
        "sandbox_url": desk.env["E2B_SANDBOX_URL"],
    }
    stranger = e2b.Sandbox.create("base", timeout=60, metadata={"made-by": "somebody"}, **key)
    other = e2b.Sandbox.create("base", timeout=60, metadata={"made-by": "osiris", "project": "other"}, **key)
    found = json.loads(desk("sandboxes", "list", "--json").stdout)["data"]["sandboxes"]
    assert [item["id"] for item in found] == [other.sandbox_id]
    assert json.loads(desk("sandboxes", "gc", "--json").stdout)["data"]["ended"] == []
    assert stranger.is_running()
    assert other.is_running()
    for sandbox in (stranger, other):
        sandbox.kill()
    made = json.loads(desk("sandboxes", "build", "--json", OSIRIS_RUN__E2B__TEMPLATE="made-1").stdout)
    assert made["data"]["template"] == "made-1"
    template = desk.service.templates.find("made-1")
    assert any("--require-hashes" in " ".join(step.get("args") or []) for step in template.steps)
    assert (template.asked["cpuCount"], template.asked["memoryMB"]) == (2, 4096)


def test_a_sandbox_that_its_host_left_is_ended(desk):
    desk.save(READ, ENDLESS, WRITE)
    process = desk.begin()
    process.kill()
    process.communicate(timeout=300)
    (sandbox,) = desk.sandboxes
    assert sandbox.alive
    ended = json.loads(desk("sandboxes", "gc", "--json").stdout)["data"]["ended"]
    assert ended == [sandbox.id]
    assert desk.summary()["status"] == "lost"


def test_a_sandbox_lives_no_longer_than_it_may(desk):
    desk.save(READ, ENDLESS, WRITE)
    code, data, found = desk.run("--e2b-timeout", "8")
    assert (code, data["status"], found) == (1, "failed", ["SBX029"])


def test_variables_and_targets_are_checked_as_typed(desk):
    desk.save(READ, WRITE)
    for words in (("--e2b-pass-env", "NOT_SET"), ("--e2b-env", "x"), ("--e2b-env-from", "none"), ("--target", "local")):
        done = desk("run", "case.yaml", "--e2b", *words)
        assert done.returncode == 2
        assert words[0] in done.stderr
