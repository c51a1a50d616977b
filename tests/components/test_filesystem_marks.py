"""U+FEFF is a byte order mark at the start of a file, and an ordinary character everywhere else."""

from __future__ import annotations

import codecs
import json

import pytest

from osiris.components.filesystem_csv_extractor.driver import Config as CsvConfig
from osiris.components.filesystem_csv_extractor.driver import Driver as CsvReader
from osiris.components.filesystem_json_extractor.driver import Config as JsonConfig
from osiris.components.filesystem_json_extractor.driver import Driver as JsonReader
from osiris.driver import StepContext
from osiris.errors import OsirisError

MARK = "\ufeff"
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-8-sig": codecs.BOM_UTF8,
    "utf-16": codecs.BOM_UTF16_LE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32": codecs.BOM_UTF32_LE,
}
PLAIN = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
CELLS = [MARK, MARK + "x", MARK + MARK, "x" + MARK, MARK + "1"]
NEEDS_MARK = ("utf-16", "utf-32")


def encoded(text, encoding, *, marked):
    return (MARKS[encoding] if marked else b"") + text.encode(PLAIN.get(encoding, encoding))


CASES = [(encoding, marked) for encoding in MARKS for marked in (True, False) if marked or encoding not in NEEDS_MARK]


def read(folder, reader, config):
    context = StepContext("step", folder, folder, folder)
    schema = reader.describe(config, context).schema
    rows = []
    for batch in reader.read(config, schema, context).batches():
        rows += [tuple(row.values()) for row in batch.to_pylist()]
    return [column.name for column in schema], rows


@pytest.mark.parametrize(("encoding", "marked"), CASES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("comment", [None, "#"])
def test_csv_cells(tmp_path, encoding, marked, cell, comment):
    rows = [(cell, "a"), ("b", cell), (cell, cell)]
    lines = ["k,v", *(",".join(row) for row in rows)]
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(encoded("\n".join(lines), encoding, marked=marked))
    form = {"encoding": encoding, "comment": comment, "dtype": {"k": "utf8", "v": "utf8"}}
    assert read(tmp_path, CsvReader(), CsvConfig("a.csv", **form)) == (["k", "v"], rows)
    assert read(tmp_path, CsvReader(), CsvConfig("*.csv", **form)) == (["k", "v"], rows * 2)


@pytest.mark.parametrize(("encoding", "marked"), CASES)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("skipped", [0, 1])
def test_csv_without_header(tmp_path, encoding, marked, cell, skipped):
    text = "of 2024\n" * skipped + f"{cell},a\n{cell},b\n"
    (tmp_path / "a.csv").write_bytes(encoded(text, encoding, marked=marked))
    config = CsvConfig("a.csv", encoding=encoding, header=False, skip_rows=skipped, dtype={"0": "utf8"})
    # Without any mark before it, what the first cell begins with is one.
    first = cell if marked or skipped else cell.removeprefix(MARK) or None
    assert read(tmp_path, CsvReader(), config) == (["0", "1"], [(first, "a"), (cell, "b")])


def test_a_second_mark_belongs_to_the_first_name(tmp_path):
    (tmp_path / "a.csv").write_text(f"{MARK}{MARK}k,v\n{MARK},2\n", encoding="utf-8")
    assert read(tmp_path, CsvReader(), CsvConfig("a.csv")) == ([f"{MARK}k", "v"], [(MARK, 2)])


def test_a_mark_is_no_part_of_a_number(tmp_path):
    (tmp_path / "a.csv").write_text(f"k,v\n{MARK}1,2\n3,4\n", encoding="utf-8")
    with pytest.raises(OsirisError) as caught:
        read(tmp_path, CsvReader(), CsvConfig("a.csv", dtype={"k": "int64"}))
    (found,) = caught.value.diagnostics
    assert (found.code, found.location.line) == ("DAT001", 2)


@pytest.mark.parametrize(("encoding", "marked"), CASES)
@pytest.mark.parametrize("form", ["lines", "array"])
def test_json_values(tmp_path, encoding, marked, form):
    rows = [{"k": cell, MARK: "v"} for cell in CELLS]
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    text = "\n".join(texts) if form == "lines" else f"[{','.join(texts)}]"
    (tmp_path / "a.json").write_bytes(encoded(text, encoding, marked=marked))
    names, found = read(tmp_path, JsonReader(), JsonConfig("a.json", encoding=encoding))
    assert (names, found) == (["k", MARK], [(cell, "v") for cell in CELLS])


@pytest.mark.parametrize(("encoding", "marked"), CASES)
@pytest.mark.parametrize("before", ["", '{"k": 1}\n'])
def test_json_has_no_mark_between_rows(tmp_path, encoding, marked, before):
    text = f'{before}{MARK}{{"k": 2}}\n'
    (tmp_path / "a.json").write_bytes(encoded(text, encoding, marked=marked))
    config = JsonConfig("a.json", encoding=encoding)
    if not marked and not before:
        assert read(tmp_path, JsonReader(), config) == (["k"], [(2,)])
        return
    with pytest.raises(OsirisError) as caught:
        read(tmp_path, JsonReader(), config)
    assert caught.value.diagnostics[0].code == "DAT020"
