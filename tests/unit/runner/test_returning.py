"""An output that cannot be fetched does not keep others from arriving, and its step fails."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.parity.cases import FOREVER, WRITE, Case, lay_out, read, sql, write
from tests.parity.elsewhere import Exec

from osiris import api
from osiris.delivery import MANIFEST, DeliveredFile, FolderManifest
from osiris.model import Field
from osiris.runner.host.run import RunOptions, run
from osiris.runner.remote.fetch import Fetcher, fetch_folder
from osiris.runner.remote.run_remote import Remote, StepOutputs
from osiris.runner.remote.sandbox_scope import SandboxScope
from osiris.runner.transport import Cut

BAD = ', dtype: {id: int64, price: "decimal(9,2)"}, on_reject: quarantine'
STEPS = (
    read(path="data/bad.csv", more=BAD),
    write(path="output/first.csv", name="first", needs="needs: [orders],"),
    read(path="data/orders.csv", name="again", needs="needs: [first],"),
    write(path="output/second.csv", name="second", needs="needs: [again],"),
    sql(FOREVER.replace("orders", "again"), more="needs: [again, second],"),
    WRITE,
)
SECOND = Path("output/second.csv")


class Careless(Exec):
    """Changes the second file before it is packed."""

    def start(self, command):
        if "tar -chf" in command and SECOND.name in command:
            with (Path(self.place) / "project" / SECOND).open("r+b") as file:
                file.write(b"X")
        return super().start(command)


class Desk:
    def __init__(self, folder, transport):
        lay_out(folder)
        self.folder, self.transport, self.events = folder, transport, []

    def run(self, fetch=None, listen=lambda _event: None):
        (self.folder / "case.yaml").write_text(Case(STEPS).text("case"))
        workspace = api.open_project(self.folder, {})
        plan = api.plan_of(workspace, str(self.folder / "case.yaml"), RunOptions(), params={})

        def hear(event):
            self.events.append(event)
            listen(event)

        engines = plan.manifest.data["engines"]
        with Remote(self.transport, self.folder, upload=None, fetch=fetch, engines=engines) as remote:
            return run(
                workspace.project, plan.manifest, workspace.config, RunOptions(new_run=True), hear, remote, plan.asked
            )

    def check(self, result, code):
        """Assert that the failed step says what stayed there, that earlier outputs are here, and that nothing
        continued.
        """
        (failed,) = [event for event in self.events if event["event"] == "step_failed"]
        assert (failed["step"], failed["code"]) == ("second", code)
        assert (failed["fetched"], failed["lost"]) == ([], [str(SECOND)])
        assert (result.status, [item.code for item in result.diagnostics]) == ("failed", [code])
        statuses = {name: step["status"] for name, step in result.steps.items()}
        assert [statuses.pop(name) for name in ("orders", "first", "again")] == ["complete"] * 3
        assert statuses.pop("second") == "failed"
        assert statuses.keys() == {"shaped", "out"}
        assert "complete" not in statuses.values()
        assert (self.folder / "output" / "first.csv").exists()
        assert not (self.folder / SECOND).exists()
        artifacts = self.folder / "logs" / result.session_id / "artifacts"
        assert "wrong" in (artifacts / "orders" / "rejected.csv").read_text()


@pytest.fixture
def desk(tmp_path):
    return lambda transport: Desk(tmp_path / "project", transport)


def test_an_output_that_was_changed_fails_its_step_alone(desk):
    made = desk(Careless())
    made.check(made.run(), "SBX013")


def test_an_output_that_is_too_large_fails_its_step_alone(desk):
    made = desk(Exec())
    size = (made.folder / "data" / "orders.csv").stat().st_size
    made.check(made.run(fetch=size + 100), "SBX012")


def test_an_output_whose_way_is_broken_fails_its_step_alone(desk):
    made = desk(Exec())

    def listen(event):
        if (event["event"], event.get("step")) == ("step_start", "second"):
            made.transport.faults.cuts["get"] = 3

    made.check(made.run(listen=listen), "SBX015")


class Place:
    """A remote folder with three files, and local targets for them."""

    def __init__(self, folder, transport):
        (folder / "here").mkdir()
        self.here, self.transport = folder / "here", transport
        self.there = Path(transport.open(None)) / "project" / "output"
        self.there.mkdir(parents=True)
        self.files = []
        for name in ("a", "b", "c"):
            content = name.encode() * 10_000
            (self.there / name).write_bytes(content)
            told = {"path": f"output/{name}", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            self.files.append(told)
        self.targets = {file["path"]: self.here / file["path"] for file in self.files}

    def fetch(self, limit=None):
        fetcher = Fetcher(self.transport, self.transport.place, limit)
        lost = fetcher.fetch(str(self.there.parent), self.files, self.targets)
        return {path: found[0].code for path, found in lost.items()}

    @property
    def came(self):
        return {path.name: path.read_bytes()[:1] for path in (self.here / "output").iterdir()}


@pytest.fixture
def place(tmp_path):
    transport = Exec(tmp_path)
    yield Place(tmp_path, transport)
    transport.close()


def test_each_file_that_can_be_had_is_fetched(place):
    (place.there / "a").write_bytes(b"X" * 10_000)
    (place.there / "b").unlink()
    assert place.fetch() == {"output/a": "SBX013", "output/b": "SBX013"}
    assert place.came == {"c": b"c"}


def test_a_file_of_another_size_is_left(place):
    (place.there / "b").write_bytes(b"b")
    assert place.fetch() == {"output/b": "SBX013"}
    assert place.came == {"a": b"a", "c": b"c"}


def test_files_are_fetched_as_long_as_they_fit(place):
    (place.there / "b").write_bytes(b"b" * 15_000)
    place.files[1] |= {"size": 15_000, "sha256": hashlib.sha256(b"b" * 15_000).hexdigest()}
    assert place.fetch(limit=24_000) == {"output/b": "SBX012"}
    assert place.came == {"a": b"a", "c": b"c"}


def test_a_file_that_has_no_place_here_is_told(place):
    (place.here / "output" / "b").mkdir(parents=True)
    assert place.fetch() == {"output/b": "DRV005"}
    assert (place.here / "output" / "c").read_bytes() == (place.there / "c").read_bytes()


def test_after_a_cut_only_the_rest_is_fetched(tmp_path):
    class Cutting(Exec):
        sent, cuts = 0, 1

        def get(self, path, offset=0):
            for piece in super().get(path, offset):
                yield piece
                self.sent += len(piece)
                if self.cuts and self.sent > 15_000:
                    self.cuts -= 1
                    raise Cut("in the middle")

    transport = Cutting(tmp_path)
    place = Place(tmp_path, transport)
    assert place.fetch() == {}
    assert place.came == {"a": b"a", "b": b"b", "c": b"c"}
    assert transport.sent < 2 * 30_000
    transport.close()


def test_a_step_of_several_files_says_which_came_and_which_stayed(place):
    (place.there / "b").write_bytes(b"X" * 10_000)
    events, stops = [], []
    reach = SandboxScope(writes=tuple(place.targets.values()))
    returning = StepOutputs(place.transport, place.here, place.transport.place, reach, {}, None, str(place.here))
    returning.on_loss = lambda: stops.append(len(events))
    ended = {"event": "step_complete", "step": "out", "duration_ms": 1.0, "rows_out": 3, "attempts": 1}
    returning.after_fetch(events.append)(ended | {"files": place.files})
    (told,) = events
    assert (told["event"], told["fetched"], told["lost"]) == ("step_failed", ["output/a", "output/c"], ["output/b"])
    assert [item["code"] for item in told["diagnostics"]] == ["SBX013", "SBX028"]
    assert "output/a, output/c came back; output/b was left" in told["diagnostics"][1]["message"]
    assert (stops, returning.failed) == ([1], True)


def test_a_file_that_no_step_was_to_write_is_not_taken(place):
    events = []
    reach = SandboxScope(writes=(place.targets["output/a"],))
    returning = StepOutputs(place.transport, place.here, place.transport.place, reach, {}, None, str(place.here))
    ended = {"event": "step_complete", "step": "out", "duration_ms": 1.0, "rows_out": 3, "attempts": 1}
    returning.after_fetch(events.append)(ended | {"files": place.files[:2]})
    assert events[0]["lost"] == ["output/b"]
    assert place.came == {"a": b"a"}


COLUMNS = tuple(f"c{number}" for number in range(16))


@pytest.fixture
def lake(place):
    """A remote folder, with as many files as one archive had and names of the maximum length."""
    files = []
    for number in range(200):
        content = f"file {number}".encode()
        sha256 = hashlib.sha256(content).hexdigest()
        folders = "/".join(f"{column}={number:0196}" for column in COLUMNS)
        path = f"{folders}/part-00000-{sha256[:32]}.osiris.parquet"
        (place.there / path).parent.mkdir(parents=True)
        (place.there / path).write_bytes(content)
        files.append(DeliveredFile(path, len(content), sha256))
    schema = tuple(Field(name, "utf8") for name in (*COLUMNS, "id"))
    content = FolderManifest(200, schema, COLUMNS, tuple(files)).to_bytes()
    (place.there / MANIFEST).write_bytes(content)
    told = {"path": "output/", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def fetch(scratch):
        fetcher = Fetcher(place.transport, place.transport.place, None)
        found = fetch_folder(fetcher, str(place.there.parent), told, place.here, scratch)
        return [item.code for item in found]

    return fetch


def test_a_folder_comes_back_however_long_its_names_are(place, lake, tmp_path):
    assert lake(tmp_path) == []
    came = {str(path.relative_to(place.here / "output")) for path in (place.here / "output").rglob("part-*")}
    assert came == {file["path"] for file in json.loads((place.there / MANIFEST).read_bytes())["files"]}


def test_a_folder_whose_way_is_broken_is_no_other_folder(place, lake, tmp_path):
    place.transport.faults.cuts["get"] = 1
    assert lake(tmp_path) == []
    place.transport.faults.cuts["get"] = 3
    assert lake(tmp_path) == ["SBX015"]
    (place.there / MANIFEST).write_bytes(b"{}")
    assert lake(tmp_path) == ["SBX013"]


def test_a_folder_that_has_no_place_here_is_told(lake, tmp_path):
    (tmp_path / "file").touch()
    assert lake(tmp_path / "file") == ["DRV070"]
