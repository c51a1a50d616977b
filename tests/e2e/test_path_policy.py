"""The project's own files are not data: no step reads or writes them, wherever it runs."""

import json
import os
import shutil

import pytest
from tests.e2e.sessions import Shop

VALUE = "e2b_0123456789abcdef0123456789abcdef"
READING = """
oml_version: "0.1.0"
name: grasping
steps:
  - {{id: got, component: {component}, mode: read, config: {config}}}
  - {{id: out, component: filesystem.csv_writer, mode: write, config: {{path: output/got.csv}}}}
"""
WRITING = """
oml_version: "0.1.0"
name: grasping
steps:
  - {{id: got, component: filesystem.csv_extractor, mode: read, config: {{path: data/orders.csv}}}}
  - {{id: out, component: {component}, mode: write, config: {config}}}
"""
CONNECTIONS = """
connections:
  duckdb: {taken: {path: .env}, state: {path: .osiris/new.duckdb}, hidden: {path: "${PLACE}"}}
  sqlite: {taken: {path: .env}, state: {path: .osiris/cache/compile.sqlite}}
  gcs: {lake: {bucket: lake-of-ours, service_account_file: keys/loader.json}}
"""
DATABASE = "{{connection: '@{}', table: t}}"


@pytest.fixture
def shop(osiris, tmp_path):
    shop = Shop(osiris, tmp_path / "shop")
    (shop.folder / ".env").write_text(f"E2B_API_KEY={VALUE}\nOTHER=1\n")
    (shop.folder / "osiris_connections.yaml").write_text(CONNECTIONS)
    (shop.folder / "keys").mkdir()
    (shop.folder / "keys" / "loader.json").write_text(json.dumps({"private_key": VALUE}))
    (shop.folder / "data" / "link.csv").symlink_to("../.env")
    (shop.folder / "data" / "state").symlink_to("../.osiris")
    return shop


def refused(shop, text, *command, **options):
    """Run a command over a pipeline; returns its error, that a file is protected, without any value of the file."""
    (shop.folder / "pipelines" / "grasping.yaml").write_text(text)
    before = (shop.folder / ".env").read_text()
    done = shop(*command, "pipelines/grasping.yaml", code=2, **options)
    said = done.stdout + done.stderr
    assert "DRV049" in said, said
    assert VALUE not in said
    assert (shop.folder / ".env").read_text() == before
    assert not (shop.folder / "output" / "got.csv").exists()
    return said


@pytest.mark.parametrize("component", ["filesystem.csv_extractor", "filesystem.json_extractor"])
@pytest.mark.parametrize(
    "path",
    [".env", "data/../.env", "data/link.csv", ".*.env", ".env*", "osiris*.yaml", "osiris.lock", ".osiris/*", "keys/*"],
)
def test_no_step_reads_what_is_kept_back(shop, component, path):
    (shop.folder / "osiris.lock").touch()
    (shop.folder / ".osiris").mkdir(exist_ok=True)
    (shop.folder / ".osiris" / "last_compile.json").write_text("{}")
    (shop.folder / ".own.env").symlink_to(".env")
    refused(shop, READING.format(component=component, config=json.dumps({"path": path})), "preview")


def test_the_place_and_the_way_out_are_told(shop):
    said = refused(shop, READING.format(component="filesystem.csv_extractor", config="{path: .env}"), "compile")
    assert "pipelines/grasping.yaml:5:" in said
    assert "steps may not use .env: it holds secrets" in said
    assert "hint: name another file" in said


@pytest.mark.parametrize("target", ["bwrap", "e2b"])
def test_a_sandbox_is_no_way_around_it(shop, target):
    text = READING.format(component="filesystem.csv_extractor", config="{path: .env}")
    refused(shop, text, "run", "--target", target)


@pytest.mark.parametrize("component", ["csv", "json", "parquet"])
@pytest.mark.parametrize(
    "path", [".env", "osiris.yaml", "osiris.lock", ".osiris/x", "data/state/x", "logs/x", "keys/loader.json"]
)
def test_no_step_writes_what_is_kept_back(shop, component, path):
    config = json.dumps({"path": path})
    refused(shop, WRITING.format(component=f"filesystem.{component}_writer", config=config), "run")


def test_no_step_publishes_a_folder_among_the_state(shop):
    refused(shop, WRITING.format(component="filesystem.parquet_writer", config="{path: .osiris/x/}"), "run")


@pytest.mark.parametrize("family", ["duckdb", "sqlite"])
@pytest.mark.parametrize("alias", ["taken", "state"])
def test_a_connection_is_no_way_around_it(shop, family, alias):
    config = DATABASE.format(f"{family}.{alias}")
    refused(shop, READING.format(component=f"{family}.extractor", config=config), "compile")
    refused(shop, WRITING.format(component=f"{family}.writer", config=config), "run")


def test_a_variable_is_no_way_around_it(shop):
    env = {"PLACE": ".env"}
    config = DATABASE.format("duckdb.hidden")
    refused(shop, READING.format(component="duckdb.extractor", config=config), "preview", env={**os.environ, **env})


def test_sessions_are_read_as_data(shop):
    shop("run", "pipelines/example.yaml")
    text = READING.format(component="filesystem.json_extractor", config="{path: 'logs/*/run.json'}")
    (shop.folder / "pipelines" / "telling.yaml").write_text(text)
    shop("preview", "pipelines/telling.yaml", "got")


def test_a_folder_among_the_records_is_read_too(shop):
    target = "config: {path: output/x/, partition_by: [customer]}"
    text = WRITING.format(component="filesystem.parquet_writer", config="CONFIG").replace("config: CONFIG", target)
    (shop.folder / "pipelines" / "kept.yaml").write_text(text)
    shop("run", "pipelines/kept.yaml")
    shutil.copytree(shop.folder / "output" / "x", shop.folder / "logs" / "x")
    reading = READING.format(component="filesystem.parquet_extractor", config="{path: logs/x/}")
    (shop.folder / "pipelines" / "again.yaml").write_text(reading.replace("grasping", "again"))
    shop("preview", "pipelines/again.yaml", "got")


@pytest.mark.parametrize("what", [".env", "data/link.csv", "keys/loader.json", "osiris_connections.yaml"])
def test_discovery_does_not_look_into_it(shop, what):
    done = shop("discover", what, "--samples", "raw", code=2)
    assert "DRV049" in done.stdout + done.stderr
    assert VALUE not in done.stdout + done.stderr


def test_discovery_of_a_folder_tells_its_other_files(shop):
    said = shop("discover", "data", "--samples", "raw")
    assert "orders.csv" in said.stdout
    assert VALUE not in said.stdout + said.stderr


ELSEWHERE = """
connections:
  filesystem: {there: {base_dir: "${PLACE}"}}
  sqlite: {there: {path: "${PLACE}/x.db"}}
"""
PLACES = {"/proc/nothing": "DRV062", "/nowhere": "DRV059"}
"""Places where nothing is, of which the rules say more than that."""


@pytest.mark.parametrize("place", PLACES)
def test_what_may_not_be_read_is_not_said_to_be_missing(shop, place):
    (shop.folder / "osiris_connections.yaml").write_text(ELSEWHERE)
    (shop.folder / "data" / "way").symlink_to(place)
    hint = "are never allowed" if (code := PLACES[place]) == "DRV062" else "paths: {read: ["
    asked = [f"{{path: '{place}/{name}'}}" for name in ("x.csv", "**/x.csv")]
    asked += [f"{{path: '{path}'}}" for path in ("data/way", "data/way/*.csv")]
    asked += [f"{{connection: '@filesystem.there', path: '{path}'}}" for path in ("x.csv", "*.csv")]
    steps = [("filesystem.csv_extractor", config) for config in asked]
    for component, config in [*steps, ("sqlite.extractor", "{connection: '@sqlite.there', table: t}")]:
        (shop.folder / "pipelines" / "grasping.yaml").write_text(READING.format(component=component, config=config))
        told = shop("compile", "pipelines/grasping.yaml", code=2, env={"PLACE": place}).stderr
        assert (code in told, hint in told, "does not exist" in told) == (True, True, False), (config, told)
    for target in ("@filesystem.there", f"{place}/x.csv"):
        told = shop("discover", target, code=2, env={"PLACE": place}).stderr
        assert (code in told, hint in told, "does not exist" in told) == (True, True, False), (target, told)


def test_a_link_that_may_not_be_followed_is_refused_as_what_it_is(shop):
    (shop.folder / "data" / "way").symlink_to("/proc/1/root")
    for path in ("/proc/1/root/x.csv", "data/way/x.csv"):
        config = f"{{path: {path}}}"
        (shop.folder / "pipelines" / "grasping.yaml").write_text(
            READING.format(component="filesystem.csv_extractor", config=config)
        )
        told = shop("validate", "pipelines/grasping.yaml", code=2).stderr
        assert "DRV062" in told or "DRV059" in told  # the second where root may follow it, to the root of all


@pytest.mark.parametrize(("pattern", "reads"), [("output/*.csv", True), ("*.csv", False), ("**/got.csv", True)])
def test_a_pattern_matches_what_is_written_only_part_by_part(shop, pattern, reads):
    text = READING.format(component="filesystem.csv_extractor", config=f"{{path: '{pattern}'}}")
    (shop.folder / "pipelines" / "grasping.yaml").write_text(text)
    (shop.folder / "got.csv").write_text("a\n1\n")
    assert ("CMP017" in shop("validate", "pipelines/grasping.yaml", code=2 if reads else 0).stderr) == reads


@pytest.mark.parametrize("place", [".vscode", "/nowhere"])
def test_a_sandbox_that_may_write_into_the_project_keeps_the_rules(shop, place):
    """For a file directly in the project's folder, which is mounted as a whole, each step that opens a file checks the
    rules.
    """
    (shop.folder / "osiris_connections.yaml").write_text(ELSEWHERE)
    before = {path.name for path in shop.folder.iterdir()}
    config = "{connection: '@filesystem.there', path: x.csv}"
    text = WRITING.format(component="filesystem.csv_writer", config=config)
    more = "  - {id: here, component: filesystem.csv_writer, mode: write, needs: [got], config: {path: got.csv}}\n"
    (shop.folder / "pipelines" / "grasping.yaml").write_text(text + more)
    told = shop.call_any("run", "pipelines/grasping.yaml", "--target", "bwrap", env={"PLACE": place})
    assert told.returncode != 0
    assert "DRV059" in told.stderr if place == "/nowhere" else "DRV049" in told.stderr
    assert {path.name for path in shop.folder.iterdir()} - before <= {
        "got.csv",
        "logs",
        "build",
        ".osiris",
        "osiris.lock",
    }
    assert not (shop.folder / place / "x.csv").exists()
