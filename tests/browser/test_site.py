"""The documentation as `make site` builds it: read and searched in a browser from a folder, without a network."""

import re
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from tests.docs.pages import ROOT

LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
NOT_LOADED = {"canonical", "next", "prev", "sitemap", "edit"}
"""What a `link` can be without a request."""


class Html(HTMLParser):
    """The links of a page, the files that it loads, and the ids that links can lead to."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.ids = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id"))
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        if given.get(LOADED.get(tag)) and given.get("rel") not in NOT_LOADED:
            self.loaded.add(given[LOADED[tag]])


@pytest.fixture(scope="module")
def site():
    """The folder of the site."""
    subprocess.run(["make", "--silent", "site"], cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return ROOT / "site"


@pytest.fixture(scope="module")
def pages(site):
    """Each page of the site by its path; the page of a server for paths that do not exist is left out."""
    return {path: Html(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}


def parts(page, address):
    """Return the scheme, the file, if it is of this site, and the anchor of an address on a page."""
    split = urlsplit(address)
    return split.scheme, (page.parent / unquote(split.path)).resolve() if split.path else page, split.fragment


def test_links_lead_to_pages_of_the_site(site, pages):
    broken = []
    for page, html in pages.items():
        for scheme, file, anchor in (parts(page, link) for link in html.links):
            if scheme:
                continue
            known = pages[file].ids if file in pages else set()
            if not (file.is_file() and file.is_relative_to(site)) or (anchor and unquote(anchor) not in known):
                broken.append(f"{page.name}: {file.name}#{anchor}")
    assert broken == []


def test_a_page_loads_files_of_the_site_only(pages):
    for page, html in pages.items():
        assert html.loaded
        for scheme, file, _ in (parts(page, address) for address in html.loaded):
            assert not scheme, page
            assert file.is_file(), (page, file)


def test_every_document_can_be_reached_from_the_first_page(site, pages):
    todo, seen = [site / "index.html"], set()
    while todo:
        page = todo.pop()
        if page in pages and page not in seen:
            seen.add(page)
            todo += [file for scheme, file, _ in (parts(page, link) for link in pages[page].links) if not scheme]
    documents = {site / path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    named = {path.with_name("index.html") if path.name == "README.html" else path for path in documents}
    assert seen == named


@pytest.mark.parametrize("width", [390, 1280])
def test_search_finds_a_page_and_leads_to_it(chromium, site, width):
    page = chromium.new_page(viewport={"width": width, "height": 900})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: message.type == "error" and said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("RUN056")
    page.get_by_text(re.compile(r"^\d+ results?$")).wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/errors/run.html*")
    assert page.get_by_role("heading", name="RUN056").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    assert said == []
    page.close()
