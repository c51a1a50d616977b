"""A secret in each slot, and commands that succeed and fail: none is printed, stored, or visible to a process."""

import base64
import gzip
import io
import json
import os
import re
import signal
import zipfile
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.canary import TRACED, Canaries, below, stdins, unpacked, watch, written
from tests.chance import say_tried
from tests.conftest import OSIRIS
from tests.trust.canary_project import ADDRESSES, FAMILIES, canary, lay_out, secret_fields

LOOKING = (
    ("logs", "list", "--json"),
    ("logs", "show", "--json"),
    ("logs", "html"),
    ("logs", "aiop"),
    ("logs", "bundle"),
    ("connections", "list", "--json"),
    ("explain", "DRV000"),
    ("config", "--json"),
)


def at_work(project):
    """Return a function that kills a run once one of its steps has begun."""

    def kill(process):
        begun = any(b"step_start" in path.read_bytes() for path in project.folder.glob("logs/*-slow-*/events.jsonl"))
        if begun:
            process.send_signal(signal.SIGKILL)
        return begun

    return kill


def searched(project, *seen):
    """Assert that no canary is in what was observed, nor in any file."""
    say_tried("commands with a secret in every slot, no byte of one found", len(seen))
    assert project.canaries.hits(*(each.parts() for each in seen), project.files()) == []


def test_no_secret_is_left_however_a_run_ends(postgres, tmp_path):
    project = lay_out(tmp_path, OSIRIS, {**postgres.fields(reader=True), "database": postgres.new_database()})
    seen = {
        "well": project.watch("run", "kept.yaml"),
        "by a value": project.watch("run", "broken.yaml", "--verbose"),
        "by a refused login": project.watch("run", "postgres_wrong.yaml", "--json"),
        "by a server that is down": project.watch("run", "postgres_dsn.yaml"),
        "by kill -9": project.watch("run", "slow.yaml", ends=at_work(project)),
    }
    assert [each.code for each in seen.values()] == [0, 1, 3, 3, -9]
    assert b"CON012" in seen["by a refused login"].out
    workers = [each for each in seen.values() if any(b"runner.worker" in command for command, _ in each.processes)]
    assert len(workers) == len(seen)
    searched(project, *seen.values(), *(project.watch(*words) for words in LOOKING[1:4]))


def test_nothing_that_is_written_has_a_secret_even_if_it_is_gone_again(postgres, tmp_path):
    """All writes of all processes except those from the host to its worker: deleted files, pipes, lines."""
    project = lay_out(tmp_path, OSIRIS, {**postgres.fields(reader=True), "database": postgres.new_database()})
    for number, name in enumerate(("kept.yaml", "broken.yaml", "postgres_wrong.yaml")):
        trace = tmp_path / f"trace{number}"
        command = ["strace", *TRACED, "-o", trace, OSIRIS, "run", name]
        done = watch(command, cwd=project.folder, env=project.environment)
        assert done.code == number + (number > 1), done.err
        content = trace.read_bytes()
        found = {hit.where for hit in project.canaries.hits(written(content))}
        assert found, "the worker was told no secret"
        assert found <= stdins(content)
        gone = {where for where, _ in written(content) if where.startswith("/") and not Path(where).exists()}
        assert gone, "nothing was written that is gone again"


def test_no_core_of_a_process_that_crashes_has_a_secret(tmp_path):
    """Neither the worker nor the command leaves one, whatever limit the caller sets."""
    project, limits = lay_out(tmp_path, OSIRIS), []

    def crash(process):
        begun = any(b"step_start" in path.read_bytes() for path in project.folder.glob("logs/*-slow-*/events.jsonl"))
        for pid in (*below(process.pid), process.pid) if begun else ():
            limits.append(
                re.search("Max core file size +([0-9]+|unlimited)", Path(f"/proc/{pid}/limits").read_text())[1]
            )
            os.kill(pid, signal.SIGABRT)
        return begun

    allowed = ["sh", "-c", 'ulimit -c unlimited && exec "$@"', "sh"]
    done = watch([*allowed, OSIRIS, "run", "slow.yaml"], cwd=project.folder, env=project.environment, ends=crash)
    assert (done.code, set(limits)) == (-signal.SIGABRT, {"0"})
    assert len(limits) > 1
    assert [path.name for path in project.folder.glob("core*")] == []
    searched(project, done)


def test_a_malformed_address_or_an_unknown_field_repeats_no_secret(tmp_path):
    project = lay_out(tmp_path, OSIRIS)
    path = project.folder / "osiris_connections.yaml"
    declared = json.loads(path.read_text())
    for family, field in secret_fields():
        if field in ADDRESSES:
            declared["connections"][family][field][field] = "${OSIRIS_PARAM_PIN}"
    path.write_text(json.dumps(declared))
    seen = [project.watch(*words) for words in (("run", "postgres_dsn.yaml"), ("connections", "doctor"))]
    declared["connections"]["postgres"]["wrong"]["pasword"] = "${OSIRIS_PARAM_PIN}"
    path.write_text(json.dumps(declared))
    seen.append(project.watch("compile", "postgres_wrong.yaml", "--json"))
    assert all(each.code for each in seen)
    searched(project, *seen)


@pytest.mark.long
def test_no_secret_is_left_by_any_command(tmp_path):
    project = lay_out(tmp_path, OSIRIS)
    pipelines = sorted(path.name for path in project.folder.glob("[mps]*_*.yaml"))
    commands = [("run", name, *more) for name in ("kept.yaml", "broken.yaml", *pipelines) for more in ((), ("--json",))]
    commands += [(word, name) for word in ("validate", "compile", "preview") for name in ("kept.yaml", "broken.yaml")]
    aliases = [f"@{family}.{field}" for family, field in secret_fields()]
    commands += [(*words, alias) for words in (("connections", "doctor"), ("discover",)) for alias in aliases]
    commands += [*LOOKING, ("lineage", "kept.yaml"), ("replay",), ("logs", "gc", "--json")]
    searched(project, *(project.watch(*words) for words in commands))


def test_every_secret_field_of_every_family_has_a_canary(tmp_path):
    project = lay_out(tmp_path, OSIRIS)
    declared = json.loads((project.folder / "osiris_connections.yaml").read_text())["connections"]
    for path in FAMILIES.glob("*.yaml"):
        fields = yaml.safe_load(path.read_text())["fields"]["properties"]
        assert {name for name in fields if fields[name].get("x-secret")} <= set(declared.get(path.stem, {}))


def _zipped(text):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner", text)
        return file.getvalue()


def _parquet(text):
    with io.BytesIO() as file:
        pq.write_table(pa.table({"a": [text] * 9}), file, compression="zstd")
        return file.getvalue()


def _gzip(text):
    return b"<script>" + base64.b64encode(gzip.compress(b"a line before it\n" + text.encode())) + b"</script>"


def _part_of_url(text):
    return f"http://127.0.0.1/?q={quote(text[5:17])}".encode()


PACKED = {
    "gzip in base64": _gzip,
    "zip": _zipped,
    "Parquet": _parquet,
    "UTF-16": lambda text: text.encode("utf-16"),
    "a part in a URL": _part_of_url,
    "reversed": lambda text: text[::-1].encode(),
    "hex": lambda text: text.encode().hex().encode(),
}


@pytest.mark.parametrize("packing", PACKED)
def test_the_search_finds_what_is_packed_or_spelled_otherwise(packing):
    written = PACKED[packing](canary(7))
    assert Canaries({"slot": canary(7)}).hits([("here", written)])
    assert not Canaries({"slot": canary(8)}).hits([("here", written)])


def test_what_only_looks_packed_is_left_alone():
    assert list(unpacked(b"PK\x03\x04 no archive")) == []
    assert list(unpacked(b"\x1f\x8b no gzip")) == []
    assert list(unpacked(b"PAR1 no table PAR1")) == []
