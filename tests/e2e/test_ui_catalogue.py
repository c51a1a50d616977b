"""The catalogue of `osiris ui`, asked over HTTP as a browser without JavaScript asks it."""

import shutil
from urllib.parse import urlencode

import pytest
from tests.e2e.test_catalogue import FOLLOW, lay_out, newer
from tests.e2e.test_lineage import HEAD, READ, WRITE, follow
from tests.e2e.test_ui import text_of
from tests.servers.pages import serve_pages


@pytest.fixture(scope="module")
def compiled(osiris, tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue") / "shop"
    lay_out(folder, osiris)
    return folder


@pytest.fixture
def shop(compiled, tmp_path):
    """A copy of the project with a server: `page(...)` returns the text of a page of it."""
    folder = tmp_path / "shop"
    shutil.copytree(compiled, folder)
    with serve_pages(folder) as server:
        client = server.client()

        def page(path="/catalogue", status=200, **query):
            answer = client.get(f"{path}?{urlencode(query)}")
            assert answer.status_code == status
            return text_of(answer)

        page.folder, page.client = folder, client
        page.dataset = lambda label, status=200, **more: page("/catalogue/dataset", status, label=label, **more)
        yield page


def test_the_list_has_all_sources_and_targets(shop):
    text = shop()
    assert "4 sources and targets of 2 pipelines" in text
    assert "output/report.csv source and target 3 sales report follow load" in text
    assert "data/orders.csv source 4 no pipeline sales orders" in text


def test_a_search_finds_names_columns_and_pipelines(shop):
    assert "1 found for “amount”" in shop(q="amount")
    assert "column amount decimal(38,2) source 4" in shop(q=" AMOUNT ")
    assert "2 found for “follow”" in shop(q="follow")
    assert "0 found for “nowhere”" in shop(q="nowhere")


def test_a_dataset_has_its_columns_and_the_command(shop):
    text = shop.dataset("data/orders.csv")
    assert "4 columns column type NULL known from id int64 possible osiris.lock" in text
    assert "osiris impact data/orders.csv" in text
    assert "the plan of follow" in shop.dataset("output/rich.csv")
    assert "osiris impact" not in shop.dataset("output/rich.csv")  # nothing reads it


def test_pipelines_lead_to_their_pages(shop):
    text = shop.client.get("/catalogue/dataset", params={"label": "output/report.csv"}).text
    for file in ("pipelines/sales.yaml", "pipelines/follow.yaml"):
        assert text.count(f'href="/{file}"') == 2  # in the graph, and in words
        assert shop.client.get(f"/{file}").status_code == 200


def test_a_column_comes_from_and_goes_to_other_pipelines(shop):
    text = shop.dataset("output/rich.csv", column="following")
    assert "Comes from following of output/rich.csv in pipeline follow, step save" in text
    assert "id of data/orders.csv aggregated from it" in text
    assert "osiris lineage save.following" in text
    assert "No target of a pipeline depends on it" in text
    text = shop.dataset("data/orders.csv", column="id")
    assert "No pipeline writes it: this is where it enters the project" in text
    assert "output/rich.csv by pipeline follow, step save following aggregated from it" in text


def test_the_commands_of_a_column_say_the_same(shop, osiris):
    page = shop.client.get("/catalogue/dataset", params={"label": "output/report.csv", "column": "total"})
    impact, lineage = "osiris impact output/report.csv#total", "osiris lineage report.total"
    for words in (impact, lineage):
        assert words.split()[1] in page.text
    done = osiris("impact", "output/report.csv#total", cwd=shop.folder)
    assert "save" in done.stdout
    (plan,) = (path.name for path in (shop.folder / "build" / "sales").iterdir())
    assert f"{lineage} {plan}" in text_of(page)
    assert "amount" in osiris("lineage", "report.total", plan, cwd=shop.folder).stdout


def test_an_edited_file_and_a_broken_one_are_named(shop):
    newer(shop.folder / FOLLOW, follow().replace("total > 10", "total > 20"))
    assert "1 pipeline without a plan that matches its file" in shop()
    assert "osiris compile pipelines/follow.yaml" in shop()
    assert "the plan of follow outdated" in shop.dataset("output/rich.csv")
    newer(shop.folder / FOLLOW, "name: [")
    assert "OML" in shop()
    assert "pipelines/follow.yaml" in shop()
    (shop.folder / "osiris.lock").write_text("lock_version: 99\n", encoding="utf-8")
    assert "LCK" in shop()
    assert "osiris.lock" in shop()
    assert "output/rich.csv" in shop()


@pytest.mark.parametrize(
    "query", [{}, {"label": ""}, {"label": "nothing"}, {"label": "data/orders.csv", "column": "x"}]
)
def test_what_is_not_there_is_no_page_and_no_error(shop, query):
    assert "There is no page at" in shop("/catalogue/dataset", 404, **query)


@pytest.mark.parametrize("page", ["0", "-1", "2", "999999999999999999999", "x", "²", ""])
def test_any_number_of_a_page_is_answered(shop, page):
    assert "4 sources and targets" in shop(page=page)


def test_a_project_without_pipelines_says_what_to_do(shop):
    for name in ("pipelines", "build", "osiris.lock"):
        path = shop.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert "osiris new" in shop()


def test_pipelines_that_feed_each_other_in_a_circle_are_drawn(shop):
    for name, source, target in (("one", "a.csv", "b.csv"), ("two", "b.csv", "a.csv")):
        steps = READ.format(id="load", path=source), WRITE.format(id="save", needs="load", path=target)
        text = HEAD.format(name=name) + "".join(steps)
        (shop.folder / "pipelines" / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert "Not drawn, as it goes back" in shop.dataset("a.csv")
    assert "No column is known" in shop.dataset("a.csv")
