import random
import re

import pytest
from tests.chance import draw_seed

from osiris.errors import InvalidInput
from osiris.oml.parse import load_document, parse


def test_a_file_is_named_as_seen_from_the_root(tmp_path):
    (tmp_path / "pipelines").mkdir()
    path = tmp_path / "pipelines" / "a.yaml"
    path.write_text("name: x\n")
    assert load_document(path, tmp_path).file == "pipelines/a.yaml"
    assert load_document(path, tmp_path / "pipelines").positions["/name"].file == "a.yaml"
    assert load_document(path, tmp_path / "elsewhere").file == str(path)


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("- a", "a list"), ("word", "text"), ("5", "an integer")])
def test_a_file_is_a_mapping(text, found):
    with pytest.raises(InvalidInput, match=f"must be a mapping, found {found}") as caught:
        parse(text, "f.yaml")
    assert caught.value.diagnostics[0].code == "OML006"


PIPELINE = """\
name: example
params: {since: {type: date, default: "2025-01-01"}}
steps:
  - id: orders
    component: filesystem.csv_extractor
    config: {path: 'data/orders.csv', columns: [a, b]}
  - id: revenue
    needs: [orders]
    config:
      query: |
        SELECT 1
"""
OF_THE_PARSER = re.compile(r"token|scalar|block [cms]|flow|while |expected|node|did not find|found")
"""Words of the YAML parser, which say nothing to who writes a pipeline; "was expected" is plain."""


def test_what_is_no_yaml_is_said_in_plain_words():
    """Texts are damaged at random: a character is removed, inserted or doubled, and lines are moved."""
    chance = random.Random(draw_seed())
    said = set()
    for _ in range(1_000):
        at = chance.randrange(len(PIPELINE))
        odd = chance.choice(["", PIPELINE[at] * 2, *"\t:'\"[]{}%-,|\\x ", "\n", "  ", "- ", "\n  "])
        with pytest.raises(InvalidInput) as caught:
            parse(PIPELINE[:at] + odd + PIPELINE[at + 1 :] + "\nname: [", "f.yaml")
        said |= {each.message for each in caught.value.diagnostics if each.code == "OML001"}
    assert len(said) > 5
    assert [each for each in sorted(said) if OF_THE_PARSER.search(each.replace("was expected", ""))] == []


def test_a_value_of_a_secret_field_is_not_shown():
    with pytest.raises(InvalidInput) as caught:
        parse("steps:\n- config: {password: 0123456, api_token: @hunter.two}\n", "f.yaml")
    shown = "".join(f"{d} {d.hint}" for d in caught.value.diagnostics)
    assert "0123456" not in shown
    assert "hunter" not in shown
