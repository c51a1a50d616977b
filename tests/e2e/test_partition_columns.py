"""Columns in folder names are not lost silently, and plans and impacts show them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PIPELINE = """
oml_version: "0.1.0"
name: {name}
steps:
  - {{id: got, component: filesystem.{kind}_extractor, mode: read, config: {config}}}
  - {{id: out, component: filesystem.{to}_writer, mode: write, config: {target}}}
"""


@pytest.fixture
def shop(tmp_path, osiris):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "orders.csv").write_text("id,region\n1,north\n2,south\n")
    config = {"path": "output/orders/", "partition_by": ["region"]}
    done = command(tmp_path, osiris, "run", "up", "csv", {"path": "orders.csv"}, "parquet", config)
    assert done.returncode == 0, done.stderr
    assert "-> output/orders/ by region" in done.compiled.stdout
    assert "output/orders/" in done.compiled.stdout.split("creates ")[1].splitlines()[0]
    return tmp_path


def command(folder, osiris, verb, name, kind, config, to="csv", target=None, *more):
    """Compile a pipeline with the options in `more`; run it if the verb is `run`."""
    path = folder / "pipelines" / f"{name}.yaml"
    told = {"config": json.dumps(config), "target": json.dumps(target or {"path": "output/back.csv"})}
    path.write_text(PIPELINE.format(name=name, kind=kind, to=to, **told))
    compiled = osiris("compile", str(path), *more, cwd=folder)
    if verb == "compile":
        return compiled
    done = osiris("run", str(path), cwd=folder)
    done.compiled = compiled
    return done


def test_a_pattern_over_a_published_folder_is_warned_of(shop, osiris):
    config = {"path": "output/orders/**/*.parquet"}
    for _ in range(2):  # the second time the schema is pinned
        done = command(shop, osiris, "compile", "down", "parquet", config)
        assert done.returncode == 0, done.stderr
        said = done.stdout + done.stderr
        assert "CMP028" in said
        assert "step 'got' does not read 'region', which appear only in folder names such as region=north" in said
        assert "end the path with '/': output/orders/ is a published folder" in said
    assert command(shop, osiris, "compile", "down", "parquet", config, "csv", None, "--strict").returncode == 2


@pytest.mark.parametrize(
    "config", [{"path": "output/orders/"}, {"path": "output/orders/**/*.parquet", "columns": ["id"]}]
)
def test_what_is_whole_or_meant_is_not(shop, osiris, config):
    done = command(shop, osiris, "compile", "down", "parquet", config, "csv", None, "--strict")
    assert done.returncode == 0, done.stderr


def test_foreign_folders_are_warned_of_unless_the_files_have_the_column(shop, osiris):
    for region in ("north", "south"):
        folder = shop / "lake" / f"region={region}" / "day=1"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"id": [1], "region": [region]}), folder / "x.parquet")
    done = command(shop, osiris, "compile", "foreign", "parquet", {"path": "lake/*/*/*.parquet"})
    said = done.stdout + done.stderr
    assert "does not read 'day', which appear only in folder names such as day=1" in said
    assert "'region'" not in said
    assert "end the path" not in said
    done = command(shop, osiris, "compile", "whole", "parquet", {"path": "lake/"})
    said = done.stdout + done.stderr
    assert "DRV001" in said
    assert "values in folder names alone are not read" in said


def test_text_files_are_warned_of_too(shop, osiris):
    folder = shop / "text" / "region=north"
    folder.mkdir(parents=True)
    (folder / "x.csv").write_text("id\n1\n")
    done = command(shop, osiris, "compile", "text", "csv", {"path": "text/region=north/x.csv"})
    assert "CMP028" in done.stdout + done.stderr


def test_a_folder_without_the_slash_is_told_how_to_be_read(shop, osiris):
    done = command(shop, osiris, "compile", "bare", "parquet", {"path": "output/orders"})
    said = done.stdout + done.stderr
    assert "DRV005" in said
    assert "end the path with '/'" in said


@pytest.mark.parametrize("what", ["output/orders/#region", "output/orders#region", "output/orders/", "output/orders"])
def test_the_impact_of_a_column_of_folders(shop, osiris, what):
    command(shop, osiris, "run", "down", "parquet", {"path": "output/orders/"})
    done = osiris("impact", what, cwd=shop)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "output/back.csv" in done.stdout


def test_the_impact_of_what_a_folder_is_made_of(shop, osiris):
    command(shop, osiris, "run", "down", "parquet", {"path": "output/orders/"})
    done = osiris("impact", "orders.csv#region", cwd=shop)
    assert "output/back.csv" in done.stdout
