"""Names and values of a run are only text on its page: they run nothing, request nothing and add nothing."""

import json
from html.parser import HTMLParser

from tests.browser.sessions import plan, problem, step, write_session

from osiris.project import Project
from osiris.report.pages import index_page
from osiris.report.template import visible
from osiris.session.finding import iter_sessions

ALERT = "window.pwned=1"
TAGS = [
    f"<script>{ALERT}</script>",
    f"<SCRIPT>{ALERT}</SCRIPT>",
    f"<scr<script>ipt>{ALERT}</scr</script>ipt>",
    f"<script\n>{ALERT}</script\n>",
    f"<script>{ALERT}//",
    f"<img src=x onerror={ALERT}>",
    f"<img src=x onerror='{ALERT}'>",
    f'<img src="x" onerror="{ALERT}">',
    f"<IMG SRC=javascript:{ALERT}>",
    f"<img/src=x/onerror={ALERT}>",
    f"<svg onload={ALERT}>",
    f"<svg><script>{ALERT}</script></svg>",
    f"<svg/onload={ALERT}>",
    f"<svg><animate onbegin={ALERT} attributeName=x dur=1s>",
    f"<svg><set attributeName=href to=javascript:{ALERT}>",
    f"<svg><use href='data:image/svg+xml,<svg id=x onload={ALERT}>#x'/></svg>",
    f"<body onload={ALERT}>",
    f"<iframe src=javascript:{ALERT}></iframe>",
    f"<iframe srcdoc='<script>parent.{ALERT}</script>'></iframe>",
    f"<object data=javascript:{ALERT}></object>",
    f"<embed src=javascript:{ALERT}>",
    f"<details open ontoggle={ALERT}>",
    f"<input autofocus onfocus={ALERT}>",
    f"<select autofocus onfocus={ALERT}>",
    f"<textarea autofocus onfocus={ALERT}>",
    f"<video><source onerror={ALERT}></video>",
    f"<audio src=x onerror={ALERT}>",
    f"<marquee onstart={ALERT}>",
    f"<a href=javascript:{ALERT}>x</a>",
    f"<math><mtext><mglyph><style><img src=x onerror={ALERT}>",
    f"<form action=javascript:{ALERT}><input type=submit></form>",
    f"<isindex action=javascript:{ALERT} type=image>",
    f"<template><script>{ALERT}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={ALERT}>'>",
    "<meta http-equiv=refresh content='0;url=https://example.invalid/'>",
    "<link rel=stylesheet href=https://example.invalid/x.css>",
    "<base href=https://example.invalid/>",
    "<style>*{display:none}</style>",
    "<style>@import 'https://example.invalid/x.css';</style>",
    "<div style=background:url(https://example.invalid/x)>",
    "<plaintext>",
    "<!--",
    "--><b>out</b>",
    "<![CDATA[<b>x</b>]]>",
    "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>",
    "<table><td>x</table>",
]
BREAKOUTS = [
    f"</title><script>{ALERT}</script>",
    f"</style><script>{ALERT}</script>",
    f"</script><script>{ALERT}</script>",
    f"</textarea><script>{ALERT}</script>",
    f"</svg><script>{ALERT}</script>",
    f"</text></a></svg><img src=x onerror={ALERT}>",
    f"</code></pre></details><img src=x onerror={ALERT}>",
    f'"><script>{ALERT}</script>',
    f"'><script>{ALERT}</script>",
    f'" onmouseover="{ALERT}" x="',
    f"' onmouseover='{ALERT}' x='",
    f'" autofocus onfocus={ALERT} x="',
    f"x onmouseover={ALERT} y=",
    f"`onmouseover={ALERT}`",
    f'"}};{ALERT};//',
    f"';{ALERT};//",
    f"\\';{ALERT};//",
    f"\\u003cscript\\u003e{ALERT}\\u003c/script\\u003e",
    f"</script/x><script>{ALERT}</script>",
    f"<!--<script>{ALERT}",
    f"<!-- --!><script>{ALERT}</script>",
    f"]]>{ALERT}",
    f"javascript:{ALERT}",
    f"JaVaScRiPt:{ALERT}",
    f"data:text/html,<script>{ALERT}</script>",
    "data:text/html;base64,PHNjcmlwdD4=",
]
SPELLINGS = [
    "&lt;script&gt;",
    "&#60;script&#62;",
    "&#x3c;script&#x3e;",
    "%3Cscript%3E",
    "&amp;lt;b&amp;gt;",
    "&quot;&apos;&nbsp;",
    "&notanentity;",
    "\uff1cscript\uff1e",
    "+ADw-script+AD4-",
    "\u2028line\u2029separators",
    "\u202eright to left\u202c",
    "zero\u200bwidth\u200d",
    "\ufeffmark",
    "bell\x07 escape\x1b[31m",
    "null\x00byte",
    "back\x08space",
    "tab\tand\nnewline",
    "\ud800 half a pair",
    "\U000e0041 tag",
    "e\u0301\u0302\u0303\u0304 stacked",
]
TEMPLATES = [
    "{{7*7}}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "{# comment #}",
    "${7*7}",
    "#{7*7}",
    "<%= 7*7 %>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "[[7*7]]",
    "__proto__",
    "constructor",
    "toString",
    "' OR '1'='1",
    "'; DROP TABLE steps; --",
    "../../../../etc/passwd",
    "..\\..\\windows\\system32",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "$(touch /tmp/x)",
    "| touch /tmp/x",
    "%s%s%s%n",
    "A" * 3000,
]
HOSTILE = [*TAGS, *BREAKOUTS, *SPELLINGS, *TEMPLATES]


class Shape(HTMLParser):
    """Tags and attribute names, which data must not change."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, sorted(name for name, _ in attrs)))


def odd_run(root, texts, suffix):
    """Write a run with the texts as names of steps, columns, files and settings, and as SQL, messages and events."""
    steps = []
    for number, text in enumerate(texts):
        name = f"{number} {text}"
        above = [steps[-1]["id"]] if number % 5 else []
        kind = "writer" if number % 5 == 4 else "processor" if above else "extractor"
        config = {"path": text, text: text} if kind != "processor" else {"query": text, "note": {text: [text]}}
        columns = [] if kind == "writer" else [(text, "utf8"), (f"other {text}", text)]
        lineage = (
            {"columns": {text: [[*above, steps[-1]["schema"][0]["name"], "copy"]]}, "rows": []}
            if above and columns
            else None
        )
        steps.append(
            step(name, f"{text}_{kind}", columns=columns, inputs=above, config=config, lineage=lineage, version=text)
        )
    failed = {
        step["id"]: problem("DRV001", texts[i], hint=texts[i], file=texts[i])
        for i, step in enumerate(steps)
        if i % 10 == 4
    }
    manifest = plan(*steps, name=texts[0], description=texts[1])
    memory = [(at, 1000 * at) for at in range(1, 9)]
    return write_session(root, manifest, suffix=suffix, failed=failed, adapter=texts[2], memory=memory)


def test_a_hundred_hostile_texts_stay_texts(tmp_path, page_of, look):
    assert len(HOSTILE) >= 100
    folder = odd_run(tmp_path, HOSTILE, "odd0")
    path = page_of(folder)
    page = look(path)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    for button in page.locator(".column").all()[:60]:
        button.press("Enter")
    page.fill("#find", HOSTILE[0])
    page.mouse.move(400, 400)
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None
    said = page.evaluate("document.body.textContent")
    for number, text in enumerate(HOSTILE):
        assert f"{number} {visible(text)}" in said
    assert page.title().startswith(visible(HOSTILE[0]).replace("\n", " "))


def test_their_page_is_built_as_that_of_a_harmless_run(tmp_path, page_of):
    html = page_of(odd_run(tmp_path, HOSTILE, "odd1")).read_text(encoding="utf-8")
    plain = page_of(odd_run(tmp_path / "plain", [f"text {n}" for n in range(len(HOSTILE))], "odd2"))
    assert Shape(html).found == Shape(plain.read_text(encoding="utf-8")).found


def test_the_page_over_all_runs_too(tmp_path, look):
    for number, text in enumerate(HOSTILE[:60]):
        texts = [text, *HOSTILE[1:5]]
        odd_run(tmp_path, texts, f"{number:04x}")
    path = tmp_path / "logs" / "index.html"
    path.write_text(index_page(list(iter_sessions(Project(tmp_path))), {}), encoding="utf-8")
    page = look(path)
    assert page.evaluate("window.pwned") is None
    said = page.evaluate("document.body.textContent")
    assert all(visible(text) in said for text in HOSTILE[:60])


def test_pages_say_what_they_may_do(tmp_path, page_of, look):
    """The policy allows only the page's own content, and the browser enforces it: injected code does not run."""
    path = page_of(write_session(tmp_path, plan(step("s", "lake.extractor"))))
    html = path.read_text(encoding="utf-8")
    policy = html.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy
    other = tmp_path / "other.html"
    other.write_text(
        html.replace("</main>", f"<script>{ALERT}</script><img src=x onerror={ALERT}></main>"), encoding="utf-8"
    )
    context = look(path).context
    page = context.new_page()
    page.goto(other.as_uri())
    assert page.evaluate("window.pwned") is None
    assert json.loads(page.locator("#data").text_content())["flow"]
