"""Every code has a page; the example on it triggers the code, and the corrected example does not."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
from tests.docs.pages import ROOT

from osiris.codes import CODES
from osiris.codes.page import load_pages

PREFIXES = list(dict.fromkeys(code[:3] for code in CODES))
WITHOUT_EXAMPLE = 197
"""The number of codes without an example, because files and commands alone cannot trigger them."""
ENDS_OTHERWISE = {
    *("CON008", "CON009", "CON016", "CON044", *(f"CON{number:03}" for number in range(67, 73)), "DRV024"),
    *("OML046", "OML047", "LLM001", "LLM003", "LLM004", "LLM005", "LLM009", "CHT052", "CHT056"),
}
"""Codes whose corrected example then needs something that a test lacks: a server, a model, a person's consent."""
PAGES = {code: page for prefix in PREFIXES for code, page in load_pages(prefix).items()}
EXECUTED = [code for code, page in PAGES.items() if page.blocks]
OSIRIS = re.compile(r"(\w+=\S+ )*osiris ")
DOCS = ROOT / "docs" / "errors"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_code_has_a_page_in_the_order_of_the_table(prefix):
    expected = [code for code in CODES if code.startswith(prefix)]
    written = [*load_pages(prefix)]
    assert written == expected


@pytest.mark.parametrize("code", PAGES)
def test_a_page_has_a_meaning_and_two_examples_or_the_reason_why_there_is_none(code):
    page = PAGES[code]
    assert page.meaning
    assert "```" not in page.meaning
    assert bool(page.blocks) != ("\n\nNo example: " in f"\n\n{page.meaning}")
    assert {block.kind for block in page.blocks} <= {"given", "wrong", "right", ""}
    assert all(block.path or block.language == "console" for block in page.blocks)
    assert not page.blocks or page.example("wrong") != page.example("right")
    assert [line for block in page.blocks for line in block.text.splitlines() if len(line) > 76] == []


def test_few_codes_have_no_example():
    assert len(PAGES) - len(EXECUTED) <= WITHOUT_EXAMPLE


@pytest.fixture(scope="session")
def fresh(osiris, tmp_path_factory):
    """A project as `osiris init` makes it."""
    folder = tmp_path_factory.mktemp("example") / "shop"
    assert osiris("init", folder, cwd=folder.parent).returncode == 0
    return folder


@pytest.mark.parametrize("code", EXECUTED)
def test_the_example_reports_the_code_and_the_corrected_one_does_not(code, osiris, fresh, tmp_path):
    wrong, right = (executed(PAGES[code].example(each), osiris, fresh, tmp_path / each) for each in ("wrong", "right"))
    assert code in wrong.stdout + wrong.stderr
    if CODES[code].severity == "error":
        assert wrong.returncode == CODES[code].exit_code
    assert code not in right.stdout + right.stderr, right.stdout + right.stderr
    assert (right.returncode != 0) == (code in ENDS_OTHERWISE), right.stdout + right.stderr


def executed(example, osiris, fresh, root):
    """Return the result of an example's last command, in its own project."""
    shutil.copytree(fresh, root)
    for path, text in example["files"].items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [run(command, osiris, root) for command in example["commands"]][-1]


def run(command, osiris, root):
    """Run a command line: `osiris …`, with variables before it if needed, or another shell command."""
    if not OSIRIS.match(command):
        return subprocess.run(command, shell=True, cwd=root, check=True, capture_output=True, text=True)
    words = shlex.split(command)
    if "*" in command or "$(" in command:
        words = subprocess.check_output(["sh", "-c", f"printf '%s\\n' {command}"], cwd=root, text=True).splitlines()
    variables = dict(word.split("=", 1) for word in words[: words.index("osiris")])
    return osiris(*words[words.index("osiris") + 1 :], cwd=root, env=variables)


@pytest.mark.parametrize("code", ["OML003", "OML028", "CMP023"])
def test_explain_prints_the_page_for_a_terminal(code, osiris, tmp_path):
    printed = osiris("explain", code, cwd=tmp_path).stdout
    assert [line for line in printed.splitlines() if len(line) > 80 or re.match(r" \S", line)] == []
    page = PAGES[code]
    assert " ".join(page.meaning.split()) in " ".join(printed.split())
    for block in page.blocks:
        assert "".join(f"    {line}".rstrip() + "\n" for line in block.text.splitlines()) in printed


def test_explain_gives_the_page_as_data(osiris, tmp_path):
    page = PAGES["OML003"]
    data = json.loads(osiris("--json", "explain", "OML003", cwd=tmp_path).stdout)["data"]
    assert data["meaning"] == page.meaning
    assert [each["version"] for each in data["examples"]] == ["wrong", "right"]
    assert data["examples"][0]["files"] == page.example("wrong")["files"]


@pytest.mark.parametrize("unknown", ["OML999", "oml03", "OML0031", "OMM003"])
def test_the_nearest_codes_are_suggested_for_an_unknown_one(unknown, osiris, tmp_path):
    done = osiris("--json", "explain", unknown, cwd=tmp_path)
    (problem,) = json.loads(done.stdout)["diagnostics"]
    assert problem["code"] == "PRJ008"
    assert problem["hint"].startswith("did you mean OML")


def test_every_code_is_in_the_index_and_on_its_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for code in CODES:
        assert f"| [{code}]({code[:3].lower()}.md#{code.lower()}) | " in index
        assert f"\n## {code}\n" in (DOCS / f"{code[:3].lower()}.md").read_text(encoding="utf-8")
