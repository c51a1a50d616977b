"""The page of a run as people use it: it shows the session's content, with mouse or keyboard, at any width."""

import json
from datetime import timedelta
from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES, WIDTHS
from tests.browser.sessions import START, chain, moment, problem, shop, write_session

from osiris.compare.lineage import KINDS, StepColumn, read_lineage

ORDERS = "id,amount\n" + "".join(f"{number},{number}.5\n" for number in range(1, 41))
OML = """
oml_version: "0.1.0"
name: shop
steps:
  - {id: orders, component: filesystem.csv_extractor, mode: read, config: {path: data/orders.csv}}
  - id: large
    component: duckdb.processor
    mode: transform
    inputs: {df: "@orders"}
    config: {query: "SELECT id, amount * 2 AS twice FROM df WHERE amount > 21"}
  - {id: report, component: filesystem.csv_writer, mode: write, inputs: {df: "@large"}, config: {path: output/x.csv}}
"""
LINES = """
(cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return new Set([...range.getClientRects()].map((each) => Math.round(each.bottom / 8))).size;
}"""
"""The number of lines on which a cell's text stands; lines are at least 16 pixels apart."""
WORDS = {"copied": "copy", "computed": "value", "aggregated": "aggregate", "unknown": "unknown"}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    for folder in ("data", "pipelines"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data/orders.csv").write_text(ORDERS)
    (tmp_path / "pipelines/shop.yaml").write_text(OML)
    return tmp_path


@pytest.fixture
def ran(project, osiris, look):
    """Run the pipeline, generate its page, and open it: returns run.json and the page."""

    def call(orders=ORDERS, **window):
        osiris("compile", "pipelines/shop.yaml", cwd=project)
        if orders != ORDERS:
            (project / "data/orders.csv").write_text(orders)
        osiris("run", "--last-compile", "--new-run", cwd=project)
        done = osiris("logs", "html", "--json", cwd=project)
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        run = json.loads((project / "logs" / data["session"] / "run.json").read_text())
        return run, look(project / "logs" / data["session"] / "report.html", **window)

    return call


def number(text):
    return int(text.replace(",", ""))


def test_what_it_says_is_what_run_json_says(ran):
    run, page = ran()
    assert run["status"] == "complete"
    assert number(page.inner_text("#rows-in")) == run["rows_in"] == 40
    assert number(page.inner_text("#rows-out")) == run["rows_out"] == 20
    assert page.get_attribute("#took", "title") == f"{run['duration_ms']} ms"
    assert page.inner_text("header .state") == "complete"
    assert page.inner_text("#badge") == "Local"
    edges = [int(each.get_attribute("data-rows")) for each in page.locator("text.rows").all()]
    assert edges == [run["steps"][name]["rows_out"] for name in ("orders", "large")]
    for index, (name, told) in enumerate(run["steps"].items()):
        card = page.locator(f"#s{index}")
        card.locator("summary").first.click()
        assert card.locator("summary code").first.inner_text() == name
        said = card.inner_text()
        assert f"{told['rows_in']:,} in, {told['rows_out']:,} out, {told['rows_rejected']:,} rejected" in said
    said = page.inner_text("#steps ~ #s1, #s1")
    assert "SELECT" in said
    assert "twice" in said
    written = run["outputs"]["report"]
    assert written["digest"]["value"] in page.inner_text("#s2")
    assert written["files"][0]["sha256"] in page.inner_text("#s2")
    assert "atomic replace" in page.inner_text("#s2")


def test_a_failed_step_opens_by_itself_with_all_there_is_to_say(ran, project):
    run, page = ran(ORDERS.replace("7,7.5", "7,many"))
    (cause,) = run["diagnostics"]
    assert page.inner_text("header .state") == "failed"
    assert [card.get_attribute("open") for card in page.locator(".step-card").all()] == ["", None, None]
    for place in ("#s0", "#problems"):
        said = page.inner_text(place)
        for words in (
            cause["code"],
            cause["message"].replace("'many'", "<text of 4 characters>"),
            "data/orders.csv:8",
            cause["hint"],
            f"osiris explain {cause['code']}",
        ):
            assert words in said
    package = project / "logs" / run["session"] / "aiop" / f"{run['session']}_aiop.json"
    answer = json.loads(package.read_text())["answer"]
    said = page.inner_text("#problems")
    assert answer["next"]
    assert all(each["command"] in said for each in answer["next"])
    assert answer["retry"]["why"] in said
    assert "2 steps did not finish as a consequence: large, report" in page.inner_text("#problems")


def test_what_went_wrong_stands_before_everything_else(ran):
    _, page = ran(ORDERS.replace("7,7.5", "7,many"))
    assert page.locator("main > *").first.get_attribute("id") == "problems"


def test_a_command_is_copied_by_its_button(ran):
    run, page = ran(ORDERS.replace("7,7.5", "7,many"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator("#problems .copy").first
    button.click()
    page.wait_for_function("document.querySelector('#problems .copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == f"osiris explain {run['diagnostics'][0]['code']}"


def test_rejected_rows_are_said_everywhere_and_linked(ran, project, osiris, look):
    text = (project / "pipelines/shop.yaml").read_text()
    (project / "pipelines/shop.yaml").write_text(
        text.replace("data/orders.csv", "data/orders.csv, on_reject: quarantine")
    )
    run, page = ran(ORDERS.replace("7,7.5", "7,many"))
    assert page.inner_text("header .state") == "complete, 1 rejected"
    link = page.locator(".findings a[href$='rejected.csv']")
    file = project / "logs" / run["session"] / link.get_attribute("href")
    assert "many" in file.read_text()
    page = look(project / "logs/index.html", 390)
    assert page.inner_text("tbody .state") == "complete, 1 rejected"
    assert "with rejected rows" in page.inner_text(".glance")
    osiris("logs", "html", "--output", "one.html", cwd=project)
    assert look(project / "one.html").locator("a[href$='rejected.csv']").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_words_of_tables_are_not_broken(ran, width):
    _, page = ran(ORDERS.replace("7,7.5", "7,many"))
    page.set_viewport_size({"width": width, "height": 900})
    cells = page.locator(".scrolls tbody :is(th, td):visible").all()
    shown = [(cell.inner_text(), cell.evaluate(LINES)) for cell in cells]
    assert len([text for text, _ in shown if text]) > 10
    assert [text for text, lines in shown if text and lines > len(text.split())] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_words_of_the_index_are_not_broken_and_the_graph_is_reached(tmp_path, osiris, page_of, look, width):
    (tmp_path / "osiris.yaml").write_text("")
    folder = write_session(tmp_path, shop())
    osiris("logs", "html", cwd=tmp_path)
    page = look(tmp_path / "logs/index.html", width)
    shown = [(cell.inner_text(), cell.evaluate(LINES)) for cell in page.locator("tbody td:not(:has(svg))").all()]
    assert [text for text, lines in shown if text and lines > len(text.split())] == []
    drawing = look(page_of(folder), width).locator(".drawing")
    right = (
        "element => { element.scrollLeft = 1e6; return element.scrollLeft + element.clientWidth - element.scrollWidth }"
    )
    assert abs(drawing.evaluate(right)) <= 1


def test_rows_of_several_targets_are_not_only_one_sum(tmp_path, page_of, look):
    page = look(page_of(write_session(tmp_path, shop(), rows=1000)))
    assert "2 targets: boxes 1,000, report 1,000" in page.inner_text(".glance")


@pytest.mark.long
def test_what_changed_since_the_run_before(ran, project):
    first, _ = ran()
    run, page = ran()
    assert "Same plan, sources and output" in page.inner_text(".glance")
    said = page.inner_text("section:has(#changes)")
    assert f"osiris verify {first['session']} {run['session']}" in said
    assert "the same 20 rows, value by value" in said
    run, page = ran(ORDERS.replace("30,30.5", "30,31.5"))
    said = page.inner_text("section:has(#changes)")
    assert "other values in twice; rows same" in said
    assert "source of orders" in said
    (project / "pipelines/shop.yaml").write_text(OML.replace("> 21", "> 31"))
    _, page = ran()
    said = page.inner_text("section:has(#changes)")
    assert "-9 (-45 %)" in said
    assert "steps/large/" in said
    assert "Plan" in page.inner_text(".glance")


def kinds_of_session(root, kind):
    write_session(root, shop(), start=START - timedelta(days=1), rows=900, seconds=5)
    if kind == "failed":
        return write_session(root, shop(), failed={"joined": problem("SQL011", "it did not work")})
    if kind == "long":
        progress = [(at, "orders", 100 * at) for at in range(1, 60)]
        memory = [(at, 100_000_000 + at * 1000) for at in range(1, 60)]
        return write_session(root, shop(), seconds=60, progress=progress, memory=memory, rows=6000, adapter="e2b")
    return write_session(root, chain(24))


@pytest.mark.parametrize("kind", ["failed", "long", "many"])
def test_anybody_can_use_it(tmp_path, page_of, look, kind):
    """axe finds no violation, in light and dark mode, at both widths, with everything open; nothing overflows."""
    path = page_of(kinds_of_session(tmp_path, kind))
    for width, scheme in product(WIDTHS, SCHEMES) if kind == "failed" else zip(WIDTHS, SCHEMES, strict=True):
        page = look(path, width, scheme)
        page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
        page.locator("#s2 .column").last.click()
        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_badge_says_where_it_ran(tmp_path, page_of, look):
    assert look(page_of(write_session(tmp_path, shop(), adapter="e2b"))).inner_text("#badge") == "E2B"


def told_origins(page, button):
    """Press a column and return the origins that the page shows: kinds by source column."""
    button.press("Enter")
    row = page.locator("tr.came")
    found = {}
    for item in row.locator("td > ul").first.locator("li").all() if row.locator("td > ul").count() else []:
        column, source = item.locator("code").inner_text(), item.locator("a").inner_text()
        found[source, column] = WORDS[item.inner_text().rpartition(", ")[2]]
    button.press("Enter")
    assert page.locator("tr.came").count() == 0
    return found


def test_a_column_tells_where_it_comes_from_by_keyboard(tmp_path, page_of, look):
    """The page's script shows the same lineage as the plan, for every column."""
    manifest = shop()
    page = look(page_of(write_session(tmp_path, manifest)))
    lineage = read_lineage(manifest)
    labels = {"orders": "data/orders.csv", "people": "data/p.csv"}
    page.click("#open-all")
    for index, step in enumerate(manifest.steps):
        columns = lineage.columns[step["id"]]
        for place, name in enumerate(columns):
            button = page.locator(f'#s{index} .schemas > div:last-child [data-step="{index}"][data-column="{place}"]')
            expected = lineage.origins(StepColumn(step["id"], name)) if step["mode"] != "read" else {}
            assert told_origins(page, button) == {(labels[c.step], c.name): kind for c, kind in expected.items()}
    assert len(KINDS) == len(WORDS)


def test_pressing_a_column_lights_its_way_in_the_drawing(tmp_path, page_of, look):
    page = look(page_of(write_session(tmp_path, shop())))
    page.click("#s2 > summary")
    page.click('#s2 [data-step="2"][data-column="0"]')
    lit = [box.get_attribute("data-box") for box in page.locator("a.lit").all()]
    assert lit == ["1", "2"]
    assert page.locator("path.lit").count() == 1
    assert "id of data/p.csv" in page.locator("tr.came details").last.text_content()


def test_by_keyboard_from_the_drawing_to_a_step(tmp_path, page_of, look):
    page = look(page_of(write_session(tmp_path, shop())), width=390)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.locator('[data-box="3"]').focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('s3').open")
    assert page.evaluate("document.activeElement.closest('details').id") == "s3"


def test_finding_a_step(tmp_path, page_of, look):
    page = look(page_of(write_session(tmp_path, chain(40))))
    page.fill("#find", "s3")
    assert page.inner_text("#found") == "11 of 40 steps"
    assert page.locator(".step-card:visible").count() == 11


def test_downloads_are_the_files(tmp_path, page_of, look):
    folder = write_session(tmp_path, shop())
    page = look(page_of(folder))
    (folder / "events.jsonl").rename(tmp_path / "moved.jsonl")  # the page needs nothing beside it
    kept = {"events.jsonl": tmp_path / "moved.jsonl"}
    for button in page.locator("#downloads button").all():
        with page.expect_download() as waiting:
            button.click()
        name = waiting.value.suggested_filename.removeprefix(f"{folder.name}-")
        assert waiting.value.path().read_bytes() == kept.get(name, folder / name).read_bytes()
    assert page.locator("#downloads button").count() == 4


def test_rows_and_memory_over_time(tmp_path, page_of, look):
    progress = [(at, "orders", 100 * at) for at in range(1, 60)]
    folder = write_session(
        tmp_path, shop(), seconds=60, progress=progress, memory=[(30, 250_000_000)], rows=6000, status="complete"
    )
    page = look(page_of(folder))
    assert page.locator("#rates canvas, #memory canvas").count() == 2
    assert "at most 250 MB, after 30 s" in page.inner_text("#memory-words")
    page.click("text=These figures as a table")
    assert "250 MB" in page.inner_text(".charts + details")
    before = page.evaluate("document.querySelector('#memory canvas').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("(before) => document.querySelector('#memory canvas').toDataURL() !== before", arg=before)


def test_a_run_without_its_plan_still_has_a_page(tmp_path, page_of, look):
    folder = write_session(tmp_path, shop())
    (folder / "manifest.json").unlink()
    page = look(page_of(folder))
    assert page.locator(".step-card").count() == 6
    assert "the plan no longer exists" in page.locator("#s0").text_content()


def test_the_same_record_gives_the_same_page(tmp_path, page_of):
    folder = write_session(tmp_path, shop(), memory=[(1, 1000)])
    first = page_of(folder).read_bytes()
    assert page_of(folder).read_bytes() == first


def test_on_paper_nothing_is_hidden(tmp_path, page_of, look):
    page = look(page_of(write_session(tmp_path, shop())))
    page.emulate_media(media="print")
    assert page.locator("#tools").is_hidden()
    assert page.locator("#s2 pre").bounding_box()["height"] > 10


def test_a_run_that_is_under_way_has_a_page(tmp_path, page_of, look):
    folder = write_session(tmp_path, shop())
    summary = json.loads((folder / "run.json").read_text())
    summary |= {"status": "running", "ended_at": None, "duration_ms": None}
    summary["steps"]["report"] = {"mode": "write", "status": "running"}
    summary["steps"]["boxes"] = {"mode": "write", "status": "not_run"}
    (folder / "run.json").write_text(json.dumps(summary))
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:8]))
    page = look(page_of(folder))
    assert "Still running" in page.inner_text(".glance")
    assert moment(0)[:10] in page.inner_text("header")
