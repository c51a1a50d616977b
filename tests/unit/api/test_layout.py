"""New folders from templates."""

import stat

import pytest

from osiris.api import lay_out, new_component
from osiris.errors import InvalidInput


def codes(act, *args):
    with pytest.raises(InvalidInput) as caught:
        act(*args)
    return [item.code for item in caught.value.diagnostics]


def test_init_lays_out_what_it_says(tmp_path):
    files = lay_out("init", tmp_path / "a" / "b")
    assert sorted(files) == sorted(
        str(path.relative_to(tmp_path / "a" / "b")) for path in (tmp_path / "a" / "b").rglob("*") if path.is_file()
    )
    assert {".gitignore", ".env.example", "osiris.yaml", "osiris_connections.yaml"} <= set(files)


def test_init_accepts_a_folder_with_other_files(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    lay_out("init", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_nothing_is_overwritten_not_even_a_dangling_link(tmp_path):
    (tmp_path / ".gitignore").symlink_to(tmp_path / "elsewhere")
    assert codes(lay_out, "init", tmp_path) == ["PRJ014"]
    assert not (tmp_path / "elsewhere").exists()


def test_a_project_is_not_laid_out_over_another(tmp_path):
    lay_out("init", tmp_path)
    assert codes(lay_out, "demo", tmp_path) == ["PRJ005"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    assert codes(lay_out, "init", tmp_path / "file") == ["PRJ006"]


def test_demo_data_is_small_and_named(tmp_path):
    files = lay_out("demo", tmp_path)
    assert "data/SOURCE.md" in files
    assert sum(path.stat().st_size for path in (tmp_path / "data").iterdir()) < 1_500_000


def test_component_has_no_word_left_to_fill(tmp_path):
    made = new_component("acme.two_words", tmp_path / "c")
    assert made["files"] == [
        "README.md",
        "pyproject.toml",
        "src/osiris_acme_two_words/__init__.py",
        "src/osiris_acme_two_words/driver.py",
        "src/osiris_acme_two_words/spec.yaml",
        "tests/test_component.py",
    ]
    assert all("{{" not in (tmp_path / "c" / file).read_text() for file in made["files"])
    assert not (tmp_path / "c" / "pyproject.toml").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize(
    "name", ["acme", "acme.", ".rows", "Acme.rows", "acme.rows.more", "acme.a b", "../a.b", "a.b\n"]
)
def test_component_names(name, tmp_path):
    assert codes(new_component, name, tmp_path / "c") == ["PRJ008"]
    assert not (tmp_path / "c").exists()
