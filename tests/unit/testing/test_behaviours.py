"""A component that breaks a rule is detected: each rule is tested with a driver that breaks only it."""

import importlib
import os
import sys

import pyarrow as pa
import pytest
import yaml

from osiris.errors import fail
from osiris.secret import Secret
from osiris.testing import Case, behaviours, check_behaviour, type_matrix
from osiris.testing.behaviours import untried

HEAD = """
import os
import random
import time
from dataclasses import dataclass
import pyarrow as pa
from osiris.driver import Written
from osiris.errors import did_you_mean, fail
from osiris.files import publish
from osiris.model import Described, Field
from osiris.table import stream
from osiris.types import arrow_schema, schema_of

KEPT, OPEN = [], []

@dataclass(frozen=True)
class Config:
    path: str = "ham.arrow"
    columns: tuple = ()
    primary_key: tuple = ()

def check_known(names, schema):
    for name in names:
        if name not in (known := [column.name for column in schema]):
            fail("DAT005", column=name, where="the ham", hint=did_you_mean(name, known))
"""
READER = """
class Driver:
    def describe(self, config, ctx):
        path = ctx.root / config.path
        if not path.exists():
            fail("DRV001", path=config.path)
        with pa.ipc.open_file(path) as file:
            schema = schema_of(file.schema)
        check_known(config.columns, schema)
        return Described(schema, "fixed", state="ripe")

    def confirm(self, config, schema, ctx):
        if self.describe(config, ctx).schema != schema:
            fail("DAT011", step=ctx.step, problem="the ham is another")
        return "ripe"

    def read(self, config, schema, ctx):
        def batches():
            self.describe(config, ctx)
            with (ctx.root / config.path).open("rb") as raw, pa.ipc.open_file(raw) as file:
                for number in range(file.num_record_batches):
                    batch = file.get_batch(number)
                    ctx.count("rows_read", batch.num_rows)
                    yield batch
        return stream(schema, batches(), "fixed")
"""
WRITER = """
class Driver:
    def check(self, config, schema, ctx):
        check_known(config.primary_key, schema)

    def write(self, config, rows, ctx):
        count, path = 0, ctx.root / config.path
        if ctx.run_key and path.exists():
            return Written(0, 0, earlier=ctx.digest())
        with publish(path) as file, pa.ipc.new_file(file, arrow_schema(rows.schema)) as sink:
            for batch in rows.batches():
                count += batch.num_rows
                KEPT.append(batch)
            table = pa.Table.from_batches(KEPT, arrow_schema(rows.schema)).combine_chunks()
            sink.write_table(table)
            KEPT.clear()
        return Written(count, path.stat().st_size, (config.path,))
"""
SLICER = """
class Driver:
    def describe(self, config, inputs, ctx):
        (schema,) = inputs.values()
        check_known(["id"], schema)
        return Described(schema, "kept")

    def transform(self, config, inputs, schema, ctx):
        (source,) = inputs.values()
        def batches():
            for batch in source.batches():
                yield batch
        return stream(schema, batches(), source.order)
"""
FIELDS = {
    "path": {"description": "Where.", "type": "string", "default": "ham.arrow"},
    "columns": {"description": "Which.", "type": "array", "default": []},
    "primary_key": {"description": "Which.", "type": "array", "default": []},
}
KINDS = {
    "read": ("ham.reader", READER, {"inputs": {"min": 0, "max": 0}, "output": True}),
    "write": ("ham.writer", WRITER, {"inputs": {"min": 1, "max": 1}, "output": False, "delivery": "exactly_once"}),
    "transform": ("ham.slicer", SLICER, {"inputs": {"min": 1, "max": 1}, "output": True}),
}


def fill(root, rows):
    with pa.OSFile(str(root / "ham.arrow"), "wb") as raw, pa.ipc.new_file(raw, rows.schema) as file:
        file.write_table(rows)


def look(root):
    with pa.ipc.open_file(root / "ham.arrow") as file:
        return file.read_all()


CONNECTION = {"token": Secret("open sesame")}
CASES = {
    "read": Case({}, CONNECTION, fill=fill),
    "write": Case({}, CONNECTION, look=look),
    "transform": Case({}, CONNECTION),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a driver as a package, and return the component's name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(mode, old="", new=""):
        name, driver, facts = KINDS[mode]
        assert old in driver
        spec = {"name": name, "version": "1.0.0", "title": "Ham", "description": "Ham.", "family": "ham"}
        spec |= {"modes": [mode], "connection": "optional", "examples": [{"title": "One", "config": {}}], **facts}
        spec["config"] = {"type": "object", "additionalProperties": False, "properties": FIELDS}
        folder, metadata = tmp_path / "raw_ham" / mode, tmp_path / "raw_ham-1.0.dist-info"
        for each in (folder, metadata):
            each.mkdir(parents=True)
        (metadata / "entry_points.txt").write_text(f"[osiris.components]\n{name} = raw_ham.{mode}\n")
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: raw_ham\nVersion: 1.0\n")
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
        (folder / "driver.py").write_text(HEAD + driver.replace(old, new, 1))
        importlib.invalidate_caches()
        return name

    yield put
    for name in [name for name in sys.modules if name.split(".")[0] == "raw_ham"]:
        for each in getattr(sys.modules.pop(name), "OPEN", ()):
            os.close(each)


@pytest.mark.parametrize("mode", KINDS)
def test_a_driver_that_keeps_all_promises_passes(mode, install):
    name = install(mode)
    assert untried(name, CASES[mode]) == {}
    tried = behaviours(name, CASES[mode])
    assert len(tried) > 6
    assert [problem for each in tried for problem in check_behaviour(name, each, CASES[mode])] == []


COUNT = 'ctx.count("rows_read", batch.num_rows)'
PUBLISH = "with publish(path) as file, pa.ipc"
PASS = "yield batch"
TOKEN = 'ctx.connection["token"].reveal()'
DIFFERENT = 'fail("DAT011", step=ctx.step, problem="the ham is another")'
LEAVE_OPEN = "OPEN.append(os.open({}, os.O_CREAT)); "
SWALLOW = "try: yield from source.batches()\n            except BaseException: return"
BROKEN = {
    "read": [
        ("gives what it describes", '"fixed", state', '"free", state', "the order 'free'"),
        ("gives what it describes", '"ripe")', "str(random.random()))", "asked again"),
        (
            "gives the same again",
            PASS,
            "KEPT.append(0); yield batch.slice(len(KEPT) % 2)",
            "reading twice gives other rows",
        ),
        ("accounts for every row", COUNT, 'ctx.count("rows_read", 1)', "it counts 1 rows"),
        ("lets go of its source", PASS, LEAVE_OPEN.format("ctx.root / config.path") + PASS, "ham.arrow is still open"),
        ("keeps every value", PASS, "yield batch.slice(0, 2)", "there are 2 rows"),
        ("keeps every value", PASS, "yield pa.record_batch([batch[0], batch[2], batch[1]], batch.schema)", "became"),
        (
            "reads an empty source",
            "self.describe(config, ctx)\n",
            "yield pa.record_batch([[None]] * 3, schema=arrow_schema(schema))\n",
            "it gives 1",
        ),
        (
            "refuses a missing source",
            'fail("DRV001", path=config.path)',
            "pa.ipc.new_file(path, pa.schema([('id', pa.int64())])).close()",
            "it is not refused",
        ),
        ("refuses an unknown column", "check_known(config.columns, schema)", "pass", "it is not refused"),
        (
            "gives what it describes",
            PASS,
            "yield pa.record_batch([*batch.columns[:2], pa.array([b'\\xff'] * 7).view('string')], batch.schema)",
            "row 1: '\\xff'; it is not valid UTF-8",
        ),
        (
            "refuses an unknown column",
            "check_known(config.columns, schema)",
            "config.columns and fail('DAT020', problem='no')",
            "does not name 'no_such_column'",
        ),
        ("confirms what is unchanged", 'return "ripe"', 'return "raw"', "'raw' when confirmed"),
        ("confirms what is unchanged", DIFFERENT, "pass", "it is not refused"),
        ("gives the same again", COUNT, f'ctx.emit("opened", {{"by": {TOKEN}}})', "it reveals the secret 'token'"),
        (
            "gives the same again",
            COUNT,
            f'(ctx.artifacts / "a.txt").write_text({TOKEN})',
            "it reveals the secret 'token'",
        ),
        ("gives the same again", PASS, f'fail("DAT020", problem={TOKEN})', "it reveals the secret 'token'"),
        ("gives the same again", PASS, 'fail("DAT020", problem="no")', "it is refused"),
    ],
    "write": [
        ("accounts for every row", "return Written(count,", "return Written(count - 1,", "it took 7 rows, wrote 6"),
        ("accounts for every row", "path.stat().st_size,", "1,", "bytes, and its files have"),
        ("accounts for every row", "(config.path,))", "('other',))", "which is not there"),
        (
            "accounts for every row",
            "KEPT.clear()",
            "KEPT.clear(); (ctx.scratch / 'x').touch()",
            "x is left in its scratch",
        ),
        ("does not see batches", ".combine_chunks()", "", "other bytes"),
        ("writes no rows", "return Written(count,", "return Written(count or 1,", "it took no rows"),
        ("refuses what it cannot carry", "combine_chunks()", "combine_chunks().slice(0, 1)", "became"),
        ("refuses an unknown key", "check_known(config.primary_key, schema)", "pass", "it is not refused"),
        ("shows the old or the new", PUBLISH, "with path.open('wb') as file, pa.ipc", "ham.arrow is not as before"),
        (
            "shows the old or the new",
            PUBLISH,
            LEAVE_OPEN.format("ctx.root / 'lock'") + "\n        " + PUBLISH,
            "lock is still open",
        ),
        ("delivers once", "if ctx.run_key", "if False", "delivers again"),
        ("keeps every value", "combine_chunks()", "combine_chunks().slice(1)", "there are 6 rows"),
    ],
    "transform": [
        ("gives what it describes", '"kept"', '"free"', "it describes the order 'free'"),
        ("does not see batches", PASS, "yield batch.slice(1)", "batches of one row give other rows"),
        ("takes no rows", "return stream(schema,", "return stream(schema[:1],", "without rows it gives other columns"),
        ("refuses strange columns", 'check_known(["id"], schema)', "return Described(None, 'kept')", "has no schema"),
        (
            "passes on what interrupts it",
            "for batch in source.batches():\n                yield batch",
            SWALLOW,
            "it ended well",
        ),
        ("lets go of its inputs", PASS, LEAVE_OPEN.format("ctx.root / 'spool'") + PASS, "spool is still open"),
        ("lets go of its inputs", PASS, "(ctx.scratch / 'spool').touch(); yield batch", "spool is left in its scratch"),
    ],
}


@pytest.mark.parametrize(
    ("mode", "behaviour", "old", "new", "problem"),
    [(mode, *each) for mode, broken in BROKEN.items() for each in broken],
)
def test_a_driver_that_breaks_one_is_found_out(mode, behaviour, old, new, problem, install):
    name = install(mode, old, new)
    found = check_behaviour(name, behaviour, CASES[mode])
    assert {each.code for each in found} == {"REG005"}
    assert any(problem in each.message for each in found), found


@pytest.mark.long
def test_a_driver_that_does_not_stop_is_found_out(install):
    name = install("read", PASS, "time.sleep(11); yield batch")
    (found,) = check_behaviour(name, "stops when asked", CASES["read"])
    assert "it did not end within 10 s" in found.message


def test_what_else_a_driver_raises_comes_as_itself(install):
    with pytest.raises(ZeroDivisionError):
        check_behaviour(install("read", PASS, "yield 1 / 0"), "gives the same again", CASES["read"])


def test_what_a_case_does_not_tell_is_named(install):
    name = install("write")
    left = untried(name, Case({}))
    assert "keeps every value" not in behaviours(name, Case({}))
    assert [(behaviour, note.code, note.severity) for behaviour, note in left.items()] == [
        ("keeps every value", "REG006", "note")
    ]


@pytest.mark.parametrize(("mode", "check"), [("write", ""), ("transform", 'check_known(["id"], schema)')])
def test_what_passes_everything_on_carries_every_type_as_it_is(mode, check, install):
    for carried in type_matrix(install(mode, check, "pass" if check else ""), CASES[mode]):
        assert (carried.outcome.type, carried.outcome.changed) == (carried.sample.type, None)


def test_a_type_that_is_refused_has_a_cast_where_one_keeps_every_value(install):
    refuse = "for each in schema:\n            if each.type != 'utf8': fail('DAT020', problem=each.type)\n        "
    name = install("write", "check_known(config", refuse + "check_known(config")
    by_type = {each.sample.type: each for each in type_matrix(name, CASES["write"]) if not each.sample.what}
    assert by_type["utf8"].outcome.type == "utf8"
    assert (by_type["int64"].outcome.refusal.code, by_type["int64"].outcome.early) == ("DAT020", True)
    assert (by_type["int64"].cast, by_type["float64"].cast, by_type["binary"].cast) == ("utf8", "utf8", None)


def test_what_is_stored_and_cannot_be_read_is_no_refusal(install):
    def unreadable(root):
        fail("DAT020", problem="mould")

    (first, *_) = type_matrix(install("write"), Case({}, look=unreadable))
    assert first.outcome.refusal is None
    assert "it is written, and cannot be read" in first.outcome.changed
