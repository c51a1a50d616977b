"""`osiris validate --diff` and `--fix`: what is certain is corrected, and nothing else of the file changes."""

import json
import stat
import subprocess

import pytest
from tests.e2e.sessions import new_project

from osiris import api
from osiris.api.project_files import _replace_text
from osiris.errors import OsirisError

WRONG = """\
# nightly
oml_version: "0.1.0"
name: shop   # for the report
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config: {path: data/orders.csv, delimter: ","}  # from the till

  - id: report
    component: filesystem.csv_writer
    mode: wirte
    config:
      path:   output/shop.csv
"""
RIGHT = WRONG.replace("delimter", "delimiter").replace("wirte", "write")
UNCERTAIN = WRONG.replace("delimter", "separater_of_cells")


@pytest.fixture
def shop(osiris, tmp_path):
    new_project(tmp_path / "shop")
    (tmp_path / "shop/pipelines/example.yaml").unlink()

    def call(*args, **options):
        return osiris("validate", *args, cwd=tmp_path / "shop", **options)

    call.folder = tmp_path / "shop"
    call.file = call.folder / "pipelines/shop.yaml"
    return call


@pytest.mark.parametrize("mark", ["", "\N{ZERO WIDTH NO-BREAK SPACE}"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CR LF"])
def test_what_is_certain_is_corrected_and_the_rest_stays(shop, end, mark):
    shop.file.write_bytes((mark + WRONG).replace("\n", end).encode())
    shop.file.chmod(0o640)
    assert shop("pipelines/shop.yaml").returncode == 2
    done = shop("--fix", "pipelines/shop.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["pipelines/shop.yaml: corrected", "pipelines/shop.yaml: ok, 2 steps"]
    assert shop.file.read_bytes() == (mark + RIGHT).replace("\n", end).encode()
    assert stat.S_IMODE(shop.file.stat().st_mode) == 0o640


def test_a_second_time_nothing_changes(shop):
    shop.file.write_text(WRONG)
    shop("--fix")
    before = shop.file.stat()
    done = shop("--fix")
    assert done.stdout.splitlines() == ["pipelines/shop.yaml: ok, 2 steps"]
    assert (shop.file.stat().st_ino, shop.file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_diff_is_a_patch_and_writes_nothing(shop):
    shop.file.write_text(WRONG)
    done = shop("--diff")
    assert done.returncode == shop().returncode == 2
    assert shop.file.read_text() == WRONG
    subprocess.run(["patch", "-s", "-p0"], cwd=shop.folder, input=done.stdout, text=True, check=True)
    assert shop.file.read_text() == RIGHT


def test_what_is_not_certain_is_left_and_reported(shop):
    shop.file.write_text(UNCERTAIN)
    done = shop("--fix", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["data"]["corrected"]) == (2, ["pipelines/shop.yaml"])
    assert [each["code"] for each in answer["diagnostics"] if each["severity"] == "error"] == ["OML002"]
    assert shop.file.read_text() == UNCERTAIN.replace("wirte", "write")


def test_each_file_is_corrected_for_itself(shop):
    other = shop.folder / "pipelines/other.yaml"
    shop.file.write_text(WRONG)
    other.write_text("just text\n")
    assert shop("--fix").returncode == 2
    assert (shop.file.read_text(), other.read_text()) == (RIGHT, "just text\n")


def test_a_link_in_the_project_is_followed_and_one_that_leaves_it_is_not(shop, tmp_path):
    shared = tmp_path / "elsewhere.yaml"
    shared.write_text(WRONG)
    shop.file.symlink_to(shared)
    refused = shop("--fix", "pipelines/shop.yaml")
    assert (refused.returncode, "PRJ021" in refused.stderr, shared.read_text()) == (2, True, WRONG)
    own = shop.folder / "own.txt"
    own.write_text(WRONG)
    shop.file.unlink()
    shop.file.symlink_to(own)
    assert shop("--fix", "pipelines/shop.yaml").returncode == 0
    assert (own.read_text(), shop.file.is_symlink()) == (RIGHT, True)


def test_a_link_that_leaves_the_project_is_left_however_it_is_named(shop, osiris, tmp_path):
    shared = tmp_path / "elsewhere.yaml"
    shared.write_text(WRONG)
    shop.file.symlink_to(shared)
    (tmp_path / "way").symlink_to(tmp_path)
    new_project(tmp_path / "other")
    ways = [
        (tmp_path / "way" / "shop", tmp_path / "way" / "shop" / "pipelines" / "shop.yaml", {}),
        (tmp_path / "other", "../shop/pipelines/shop.yaml", {"OSIRIS_HOME": str(tmp_path / "shop")}),
    ]
    for folder, name, env in ways:
        for words in (("validate", "--fix", name), ("fmt", name)):
            done = osiris(*words, cwd=folder, env=env)
            assert (done.returncode, "PRJ021" in done.stderr, shared.read_text()) == (2, True, WRONG)


def test_a_read_only_file_is_left(shop):
    shop.file.write_text(WRONG)
    shop.file.chmod(0o440)
    done = shop("--fix")
    assert (done.returncode != 0, "DRV003" in done.stderr, shop.file.read_text()) == (True, True, WRONG)


def test_a_file_with_a_secret_is_corrected_and_not_shown(shop):
    shop.file.write_text(WRONG.replace("name: shop", "name: shop\nx-source: postgres://me:hunter2@db/shop"))
    assert "hunter2" not in shop("--diff").stdout
    shop("--fix")
    assert "hunter2@db" in shop.file.read_text()
    assert "delimiter" in shop.file.read_text()


def test_both_at_once_are_refused(shop):
    assert "cannot be combined" in shop("--fix", "--diff").stderr


def test_a_text_that_is_not_the_one_that_was_corrected_is_not_replaced(shop):
    shop.file.write_text("written by an editor\n")
    with pytest.raises(OsirisError) as caught:
        _replace_text(api.open_project(shop.folder, {}), shop.file, WRONG, RIGHT)
    assert caught.value.diagnostics[0].code == "PRJ020"
    assert shop.file.read_text() == "written by an editor\n"
