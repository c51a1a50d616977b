"""Comparing runs and plans in `osiris ui`: what `osiris diff` says of them."""

import shutil
from urllib.parse import urlencode

import pytest
from tests.e2e.test_catalogue import SALES, lay_out
from tests.e2e.test_lineage import sales
from tests.e2e.test_ui import text_of
from tests.servers.pages import serve_pages

CHANGED = "SELECT c.name, sum(o.amount) AS total, 0 AS following FROM orders AS o, people AS c GROUP BY c.name"


@pytest.fixture(scope="module")
def compiled(osiris, tmp_path_factory):
    """A project with three runs of one pipeline: two alike, and one after its query was changed."""
    folder = tmp_path_factory.mktemp("compare") / "shop"
    call = lay_out(folder, osiris)
    call("run", SALES)
    (folder / SALES).write_text(sales(CHANGED), encoding="utf-8")
    call("run", SALES)
    return folder


@pytest.fixture
def shop(compiled, tmp_path):
    """A copy with a server: `page(...)` returns the text of a page of it; `runs` and `plans` are the oldest first."""
    folder = tmp_path / "shop"
    shutil.copytree(compiled, folder)
    with serve_pages(folder) as server:
        client = server.client()

        def page(status=200, **query):
            answer = client.get(f"/compare?{urlencode(query)}")
            assert answer.status_code == status
            return text_of(answer)

        page.folder, page.client = folder, client
        page.runs = sorted(path.name for path in (folder / "logs").iterdir() if "-sales-" in path.name)
        page.plans = sorted((folder / "build" / "sales").iterdir(), key=lambda path: path.stat().st_mtime)
        yield page


def test_runs_and_plans_are_chosen_from_lists(shop):
    answer = shop.client.get("/compare").text
    assert all(answer.count(f'<option value="{run}"') == 2 for run in shop.runs)
    assert all(answer.count(f'<option value="{plan.name}"') == 2 for plan in shop.plans)
    assert f'<option value="{shop.runs[-2]}" selected' in answer


def test_two_runs_alike(shop):
    text = shop(a=shop.runs[0], b=shop.runs[1])
    assert "They are the same" in text
    assert "osiris verify" in text
    assert "Durations" in text


@pytest.mark.parametrize("kind", ["runs", "plans"])
def test_what_differs_is_said_as_osiris_diff_does(shop, osiris, kind):
    first, *_, last = shop.runs if kind == "runs" else [plan.name for plan in shop.plans]
    text = shop(a=first, b=last)
    assert "They differ in" in text
    assert "the plan" in text
    assert f"osiris diff {first} {last}" in text
    done = osiris("diff", first, last, cwd=shop.folder)
    said = [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("steps/")]
    assert said
    page = " ".join(shop.client.get("/compare", params={"a": first, "b": last}).text.split())
    for line in said:
        assert line.split(":")[0] in page


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("20260101-000000-000-x-00001", "20260101-000000-000-x-00002"),
        ("20260101-000000-000-../../..-00001", "20260101-000000-000-/etc-00002"),
        ("20260101-000000-000-\x00-00001", "20260101-000000-000-\x00-00002"),
        ("0" * 12, "1" * 64),
    ],
)
def test_what_is_gone_is_said(shop, a, b):
    text = shop(404, a=a, b=b)
    assert "RUN010" in text or "CMP027" in text
    assert "Two runs" in text


@pytest.mark.parametrize(("a", "b"), [("/etc/passwd", "../x.json"), ("last", "previous"), ("x", ""), ("<b>", "\n")])
def test_only_names_of_the_lists_are_looked_for(shop, a, b):
    text = shop(a=a, b=b)
    assert "They" not in text
    assert "Two plans" in text


def test_a_damaged_plan_and_a_deleted_run_are_named(shop):
    (shop.plans[0] / "manifest.json").write_text("{}", encoding="utf-8")
    assert "CMP02" in shop(404, a=shop.plans[0].name, b=shop.plans[1].name)
    (shop.folder / "logs" / shop.runs[0] / "manifest.json").unlink()
    assert "CMP027" in shop(404, a=shop.runs[0], b=shop.runs[1])
    shutil.rmtree(shop.folder / "logs" / shop.runs[1])
    assert "RUN010" in shop(404, a=shop.runs[1], b=shop.runs[2])


def test_a_project_without_runs_has_nothing_to_compare(shop):
    shutil.rmtree(shop.folder / "logs")
    shutil.rmtree(shop.folder / "build")
    text = shop()
    assert "fewer than two runs" in text
    assert "fewer than two plans" in text
