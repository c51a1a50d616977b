import pytest

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


def test_a_value_of_a_secret_field_is_not_shown():
    with pytest.raises(InvalidInput) as caught:
        parse("steps:\n- config: {password: 0123456, api_token: @hunter.two}\n", "f.yaml")
    shown = "".join(f"{d} {d.hint}" for d in caught.value.diagnostics)
    assert "0123456" not in shown
    assert "hunter" not in shown
