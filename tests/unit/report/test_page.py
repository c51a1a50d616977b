"""The page of a plan: complete, without requests, and only with the plan's content."""

import re
from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from osiris.model import Field
from osiris.report.pages import plan_page
from osiris.report.plan import FlowView, PlanView, StepView, TargetView

LOAD = StepView("load", "lake.reader", "read", (), (), "data/x.csv", (Field("x", "int64", False),), "fixed", 1200, ())
TURN = StepView("turn", "lake.query", "transform", ("load",), (), None, (Field("y", "utf8"),), "free", None, ("load",))
SAVE = StepView("save", "lake.writer", "write", ("turn",), ("load",), "output/y.csv", (), None, None, ())
VIEW = PlanView(
    name="p",
    fingerprint="a" * 64,
    description="Of what is.",
    previous="b" * 64,
    steps=(LOAD, TURN, SAVE),
    targets=(TargetView("save", "output/y.csv", "replaces", "atomic_replace", 12_300_000),),
    flows=(FlowView("data/x.csv", "output/y.csv", {"x": "value"}),),
    new_flows=(FlowView("data/x.csv", "output/y.csv", {"x": "value"}),),
)
HOSTILE = "</title></style></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}&amp;"


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.words, self.left = [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.left.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.left.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def shape(self):
        """Return tags and attribute names: what data must not change."""
        return [(tag, sorted(attributes)) for tag, attributes in self.elements]


def named(text):
    """Return the view with a text in every place where a name can be."""
    columns = (Field(text, "int64"),)
    steps = (
        replace(LOAD, id=text, label=text, component=text, columns=columns),
        replace(TURN, inputs=(text,), fused=(text,)),
        replace(SAVE, after=(text,), label=text),
    )
    flow = FlowView(text, text, {text: "value"})
    target = replace(VIEW.targets[0], step=text, target=text)
    return replace(VIEW, name=text, description=text, steps=steps, targets=(target,), flows=(flow,), new_flows=(flow,))


def test_the_page_says_what_the_plan_does():
    text = Page(plan_page(VIEW)).text
    for words in (
        "Of what is.",
        "replaces output/y.csv (12 MB) save, atomic_replace",
        "data/x.csv -> output/y.csv: x (value)",
        "load lake.reader, read, data/x.csv, 1,200 rows, order fixed",
        "x int64 not null",
        "computes load inside its own statement",
        "waits for load",
    ):
        assert words in text


def test_nothing_is_fetched_and_nothing_runs():
    html = plan_page(VIEW)
    page = Page(html)
    (csp,) = [attributes["content"] for _, attributes in page.elements if "http-equiv" in attributes]
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[^' ]+'; base-uri 'none'; form-action 'none'", csp)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
    assert not {name for _, attributes in page.elements for name in attributes} & {"src", "href", "style", "onload"}
    assert not re.search(r"url\(|@import|https?:", html)


def test_it_fits_a_small_screen_and_both_lights():
    html = plan_page(VIEW)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "prefers-color-scheme: dark" in html
    page = Page(html)
    wide = [tag for tag, attributes in page.elements if "scrolls" in (attributes.get("class") or "").split()]
    assert len(wide) == 3  # the drawing and two tables scroll by themselves


def test_the_legend_names_each_kind_of_edge_of_the_drawing():
    kinds = ["computed in one statement", "waits only"]
    assert [kind in Page(plan_page(VIEW)).text for kind in kinds] == [True, True]
    plain = replace(VIEW, steps=tuple(replace(step, fused=(), after=()) for step in VIEW.steps))
    assert [kind in Page(plan_page(plain)).text for kind in kinds] == [False, False]


def test_hostile_names_are_text():
    page = Page(plan_page(named(HOSTILE)))
    assert page.shape == Page(plan_page(named("n"))).shape
    assert page.text.count("<script>alert(1)</script>") > 8
    assert "{{7*7}}&amp;" in page.text


@given(st.text(min_size=1, max_size=30))
def test_any_name_is_text(name):
    html = plan_page(named(name))
    assert Page(html).shape == Page(plan_page(named("n"))).shape
    assert html.encode("utf-8")


def test_characters_that_are_not_seen_are_spelled():
    html = plan_page(named("a\u202eb\x1b[2Jc\x00d\ud800"))
    assert "a\\u202eb\\u001b[2Jc\\u0000d\\ud800" in html
    assert not re.search("[\u202e\x00\x1b\ud800]", html)


def test_a_plan_of_three_hundred_steps_has_a_page():
    steps = tuple(
        replace(TURN, id=f"s{number}", inputs=(f"s{number - 1}",) if number % 10 else (), fused=())
        for number in range(300)
    )
    page = Page(plan_page(replace(VIEW, steps=steps, previous=None, targets=(), new_flows=())))
    assert sum(attributes.get("class") == "box" for _, attributes in page.elements) == 300
    assert "this plan writes nothing" in page.text
