"""The decision about text files is true: each row of its tables is read, typed and written as stated."""

import re
from pathlib import Path

import pytest

from osiris.components.filesystem_csv_extractor.driver import Config, Driver
from osiris.components.filesystem_csv_writer.driver import Config as WriterConfig
from osiris.components.filesystem_csv_writer.driver import Driver as Writer
from osiris.components.filesystem_json_extractor.driver import Config as JsonConfig
from osiris.components.filesystem_json_extractor.driver import Driver as JsonReader
from osiris.components.filesystem_json_writer.driver import Config as JsonWriterConfig
from osiris.components.filesystem_json_writer.driver import Driver as JsonWriter
from osiris.driver import StepContext
from osiris.errors import OsirisError
from osiris.model import Field

PAGE = Path(__file__).parents[2] / "docs" / "decisions" / "0003-text-files.md"


def table(heading):
    """Return the rows of the page's table with that heading, as lists of cells."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(heading) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"\|", line.strip("|"))])
    return rows


def cells(text):
    return ["" if found == "∅" else found.strip("`") for found in re.findall(r"`[^`]*`|∅", text)]


def context(folder):
    return StepContext("step", folder, folder, folder)


def write_again(folder, config, schema):
    """Read the file `in.csv` in a schema, and return the cells of its second column as the writer writes them."""
    stream = Driver().read(config, schema, context(folder))
    Writer().write(WriterConfig("out.csv"), stream, context(folder))
    rows = (folder / "out.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [row.split(",", 1)[1] for row in rows]


@pytest.mark.parametrize(("source", "kind", "written"), table("| cells | type | written again |"))
def test_cells_decide_the_type(tmp_path, source, kind, written):
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells(source)))
    (tmp_path / "in.csv").write_text(f"id,x\n{rows}", encoding="utf-8")
    config = Config("in.csv")
    described = Driver().describe(config, context(tmp_path))
    assert described.schema == (Field("id", "int64"), Field("x", *cells(kind)))
    assert described.order == "fixed"
    assert write_again(tmp_path, config, described.schema) == cells(written)


@pytest.mark.parametrize(("source", "kind", "written"), table("| cells | type | written again |"))
def test_text_copied_to_text_keeps_its_characters(tmp_path, source, kind, written):
    lines = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells(source)))
    (tmp_path / "in.csv").write_text(f"id,x\n{lines}", encoding="utf-8")
    config = Config("in.csv", as_text=True)
    schema = Driver().describe(config, context(tmp_path)).schema
    assert {column.type for column in schema} == {"utf8"}
    unquoted = [cell.strip('"') if cell != '""' else cell for cell in cells(source)]
    assert write_again(tmp_path, config, schema) == unquoted


@pytest.mark.parametrize(("kind", "declared", "source", "verdict"), table("| type | declared | cell | read as |"))
def test_cells_under_a_known_type(tmp_path, kind, declared, source, verdict):
    (name,), (cell,) = cells(kind), cells(source)
    (tmp_path / "in.csv").write_text(f"id,x\n1,\n2,{cell}\n", encoding="utf-8")
    config = Config("in.csv", dtype={"x": name} if declared == "yes" else {})
    schema = (Field("id", "int64"), Field("x", name))
    if verdict == "DAT001":
        with pytest.raises(OsirisError) as caught:
            write_again(tmp_path, config, schema)
        (found,) = caught.value.diagnostics
        text = cell.strip('"') or ""
        assert found.code == "DAT001"
        assert (str(found.location), found.message) == ("in.csv:3", f"column 'x': {text!r} is not {name}")
        assert (found.location.file, found.location.line) == ("in.csv", 3)
    else:
        assert write_again(tmp_path, config, schema) == ["", *cells(verdict)]


@pytest.mark.parametrize("row", table("| values | type | written again |"), ids=" | ".join)
def test_json_values_are_typed_and_written_so(row, tmp_path):
    values, kind, again = row
    lines = [f'{{"n": null, "v": {value}}}\n' for value in cells(values)]
    (tmp_path / "in.json").write_text("".join(lines), encoding="utf-8")
    config = JsonConfig("in.json")
    schema = JsonReader().describe(config, context(tmp_path)).schema
    assert schema == (Field("n", "json"), Field("v", kind.strip("`")))
    rows = JsonReader().read(config, schema, context(tmp_path))
    JsonWriter().write(JsonWriterConfig("out.json"), rows, context(tmp_path))
    written = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert written == "".join(f'{{"n":null,"v":{value}}}\n' for value in cells(again))
