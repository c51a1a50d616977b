"""The catalogue of a project whose pipelines were compiled by the real command, and changed since."""

import os

import pytest
from tests.e2e.test_lineage import HEAD, QUERY, READ, WRITE, follow, sales

from osiris import api
from osiris.api.catalogue import CatalogueReader

SALES, FOLLOW = "pipelines/sales.yaml", "pipelines/follow.yaml"


def lay_out(folder, osiris):
    """Create a project in which one compiled pipeline reads what another one wrote; returns a function for commands."""
    for name, text in {
        "osiris.yaml": "",
        "data/orders.csv": "id,person,amount,note\n1,1,2.50,x\n2,1,20.00,y\n",
        "data/people.csv": "id,name\n1,Ann\n",
        SALES: sales(),
        FOLLOW: follow(),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")

    def call(*args):
        done = osiris(*args, cwd=folder)
        assert done.returncode == 0, done.stderr

    call("run", SALES)
    call("compile", FOLLOW)
    return call


@pytest.fixture
def shop(osiris, tmp_path):
    """The project; `catalogue()` reads it as a server does."""
    call = lay_out(tmp_path, osiris)
    workspace, reader = api.open_project(tmp_path, dict(os.environ)), CatalogueReader()
    call.folder, call.catalogue = tmp_path, lambda: reader.read(workspace)
    return call


def columns(dataset):
    return {each.name: ("/".join(each.types), each.known_from) for each in dataset.columns}


def newer(path, text):
    """Write a file that is newer than all others, however coarse the clock of the file system is."""
    path.write_text(text, encoding="utf-8")
    then = path.stat().st_mtime + 10
    os.utime(path, (then, then))


def test_all_sources_and_targets_with_columns_and_types(shop):
    known = shop.catalogue()
    assert known.diagnostics == ()
    assert {each.label: each.role for each in known.datasets.values()} == {
        "data/orders.csv": "source",
        "data/people.csv": "source",
        "output/report.csv": "source and target",
        "output/rich.csv": "target",
    }
    assert columns(known.find("data/orders.csv")) == {
        "id": ("int64", "osiris.lock"),
        "person": ("int64", "osiris.lock"),
        "amount": ("decimal(38,2)", "osiris.lock"),
        "note": ("utf8", "osiris.lock"),
    }
    assert columns(known.find("output/rich.csv"))["following"] == ("int64", "follow")
    assert known.find("output/nothing.csv") is None
    assert all(each.problem is None and each.fingerprint for each in known.pipelines.values())
    assert known.flows["follow"] == (("output/report.csv",), ("output/rich.csv",))


def test_a_column_is_traced_through_several_pipelines(shop):
    known = shop.catalogue()
    hops = [
        (each.pipeline, {(*at,): kind for at, kind in each.sources})
        for each in known.origins("output/rich.csv", "following")
    ]
    assert hops == [
        ("follow", {("output/report.csv", "following"): "copy"}),
        ("sales", {("data/orders.csv", "id"): "aggregate"}),
    ]
    reached = {step.target for each in known.impact("data/orders.csv", "id") for step in each.steps if step.target}
    assert reached == {"output/report.csv", "output/rich.csv"}


def test_a_file_edited_since_is_named_and_its_plan_still_shown(shop):
    before = shop.catalogue()
    newer(shop.folder / FOLLOW, follow().replace("total > 10", "total > 20"))
    after = shop.catalogue()
    assert "was edited after its plan" in after.pipelines["follow"].problem
    assert after.pipelines["sales"] == before.pipelines["sales"]
    assert columns(after.find("output/rich.csv")) == columns(before.find("output/rich.csv"))
    shop("compile", FOLLOW)
    newer(shop.folder / FOLLOW, follow().replace("total > 10", "total > 20") + "# a remark\n")
    assert shop.catalogue().pipelines["follow"].problem is None


def test_broken_files_are_named_and_the_rest_is_shown(shop):
    newer(shop.folder / FOLLOW, "name: [")
    (shop.folder / "osiris.lock").write_text("lock_version: 99\n", encoding="utf-8")
    known = shop.catalogue()
    assert {each.code[:3] for each in known.diagnostics} == {"OML", "LCK"}
    assert "it has errors" in known.pipelines["follow"].problem
    # Without osiris.lock, only columns that plans use are known.
    assert columns(known.find("data/people.csv")) == {"id": ("int64", "sales"), "name": ("utf8", "sales")}
    newer(shop.folder / FOLLOW, follow())
    assert shop.catalogue().pipelines["follow"].problem is None


def test_a_plan_that_cannot_be_read_and_one_whose_file_is_gone(shop):
    shop.catalogue()
    for manifest in (shop.folder / "build" / "follow").glob("*/manifest.json"):
        manifest.write_text("{}", encoding="utf-8")
    (shop.folder / SALES).unlink()
    known = shop.catalogue()
    assert "cannot be read" in known.pipelines["follow"].problem
    assert "no longer in pipelines/" in known.pipelines["sales"].problem
    assert known.pipelines["sales"].file is None
    # What the steps of a file without a plan read and write is known, but no column.
    assert [use.pipeline for use in known.find("output/rich.csv").writers] == ["follow"]
    assert known.find("output/rich.csv").columns == ()


def test_a_pipeline_without_a_plan_has_its_sources_and_targets(shop):
    steps = (
        READ.format(id="days", path="output/*.csv"),
        QUERY.format(id="all", needs="days", query="SELECT 1 AS one FROM days"),
        WRITE.format(id="out", needs="all", path="all.csv"),
    )
    (shop.folder / "pipelines" / "later.yaml").write_text(HEAD.format(name="later") + "".join(steps), encoding="utf-8")
    known = shop.catalogue()
    assert "no plan yet; run 'osiris compile pipelines/later.yaml'" in known.pipelines["later"].problem
    assert known.pipelines["later"].fingerprint is None
    sources, targets = known.flows["later"]
    assert set(sources) == {"output/*.csv", "output/report.csv", "output/rich.csv"}
    assert targets == ("all.csv",)
    assert "later" in {each.name for each in known.impact("data/orders.csv", None) if each.steps}
