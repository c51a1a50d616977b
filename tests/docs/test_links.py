"""Links between pages have existing targets; README links every page of the guide, and that the tutorials."""

import re

import pytest
from tests.docs.pages import GUIDE, README, ROOT, TUTORIALS

DOCUMENTS = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ +(.*?)\s*$", re.MULTILINE)


def links(path):
    """Return the relative links of a page, each as file and anchor."""
    found = LINK.findall(CODE.sub("", path.read_text("utf-8")))
    return [link.partition("#")[::2] for link in found if not re.match(r"[a-z]+:", link)]


def anchors(path):
    """Return GitHub's anchors for the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for file, anchor in links(path):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"


def linked(path):
    """Return the files that a page links."""
    return {(path.parent / file).resolve() for file, _ in links(path)}


def test_the_readme_leads_to_every_page_of_the_guide():
    assert {*GUIDE.glob("*.md")} - linked(README.path) == set()


def test_the_page_about_components_leads_to_every_tutorial():
    assert {page.path for page in TUTORIALS} - linked(GUIDE / "components.md") == set()
