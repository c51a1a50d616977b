"""The page of a conversation in a real browser: it shows what was said, accessibly, and never as markup."""

import json
from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.browser.conftest import SCHEMES, WIDTHS
from tests.browser.test_hostile_texts import BREAKOUTS, TAGS
from tests.e2e.sessions import new_project
from tests.unit.chat.scripted import environment, serving
from tests.unit.chat.talking import proposal

from osiris.report.pages import talk_page

WORDS = "sum of amount per region from data/orders.csv, to output/regions.csv"
SQL = "SELECT region, sum(amount) AS amount FROM orders GROUP BY region ORDER BY region"
ANSWERS = {WORDS: proposal("data/orders.csv", sql=SQL, name="regions", path="output/regions.csv")}
AT = "2026-01-01T00:00:00.000000+00:00"


@pytest.fixture(scope="module")
def home(tmp_path_factory, osiris):
    """The folder of a conversation that was really held, with its page."""
    shop = new_project(tmp_path_factory.mktemp("talk") / "shop")
    with serving(ANSWERS) as server:
        done = osiris("chat", WORDS, "--yes", cwd=shop, env=environment(server), timeout=120)
    assert done.returncode == 0, done.stderr
    (home,) = (path for path in (shop / "logs").iterdir() if "-chat-" in path.name)
    assert osiris("logs", "html", home.name, cwd=shop).returncode == 0
    return home


@pytest.mark.parametrize(("width", "scheme"), list(product(WIDTHS, SCHEMES)))
def test_the_page_is_for_everybody(home, look, width, scheme):
    page = look(home / "report.html", width=width, scheme=scheme)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_tells_what_was_said_made_and_run(home, look):
    page = look(home / "report.html")
    run = json.loads((home / "run.json").read_text())["runs"][0]
    text = page.inner_text("main")
    assert WORDS in text
    assert "INIT → INTENT_CAPTURED" in text
    assert "sum(amount)" in text.lower()
    assert run in text
    assert "complete" in page.inner_text("header")


def test_whatever_is_said_is_text(tmp_path, look):
    hostile = [*TAGS, *BREAKOUTS]
    events = [{"event": "user_message", "ts": AT, "text": text, "about": None} for text in hostile]
    events += [
        {"event": "assistant_response", "ts": AT, "text": "x", "about": "y", "choices": hostile},
        {
            "event": "llm_exchange",
            "ts": AT,
            "model": hostile[0],
            "purpose": "intent",
            "sent": hostile,
            "value": hostile,
        },
        {"event": "oml_synthesis_complete", "ts": AT, "number": 1},
        {"event": "saved", "ts": AT, "state": "saved", "file": hostile[1]},
    ]
    usage = {"input_tokens": 1, "output_tokens": 1, "requests": 1, "cost": None}
    summary = {"session": "s", "title": hostile[0], "status": "waiting", "state": "COMPILE", "started_at": AT}
    path = tmp_path / "talk.html"
    path.write_text(talk_page({**summary, "usage": usage}, events, {1: "\n".join(hostile)}, {}, None), encoding="utf-8")
    page = look(path)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, iframe, object, embed, form, script").count() == 0
    assert page.locator("li").count() == len(events)
    for text in ("<script>window.pwned=1</script>", "-->"):
        assert text in page.inner_text("main")


def test_the_page_over_all_runs_lists_it(home, look):
    page = look(home.parent / "index.html")
    assert Axe().run(page).violations_count == 0
    row = page.locator("h2:has-text('Conversations') + div tbody tr")
    assert WORDS in row.inner_text()
    assert row.locator("a").get_attribute("href") == f"{home.name}/report.html"
