"""A fingerprint names one plan: whichever file is in its place, another plan is never used instead."""

import json
import shutil

import pytest
from tests.e2e.agent import ask
from tests.e2e.sessions import Shop


@pytest.fixture
def shop(osiris, tmp_path):
    return Shop(osiris, tmp_path / "shop")


@pytest.fixture
def swapped(shop):
    """Two unchanged plans, the second in the place of the first."""
    first = shop.json("compile", "pipelines/example.yaml", "--param", "since=2025-02-01")["data"]
    last = (shop.folder / ".osiris" / "last_compile.json").read_bytes()
    second = shop.json("compile", "pipelines/example.yaml")["data"]
    shutil.copyfile(shop.folder / second["manifest"], shop.folder / first["manifest"])
    (shop.folder / ".osiris" / "last_compile.json").write_bytes(last)
    return first, second


def codes(envelope):
    return [d["code"] for d in envelope["diagnostics"] if d["severity"] == "error"]


NAMING = [
    lambda digits, _file: ("run", digits),
    lambda digits, _file: ("run", digits[:12]),
    lambda digits, _file: ("run", digits[:40], "--dry-run"),
    lambda _digits, file: ("run", file),
    lambda _digits, file: ("run", file.rpartition("/")[0]),
    lambda _digits, _file: ("run", "--last-compile"),
    lambda digits, _file: ("explain", digits),
    lambda digits, _file: ("lineage", "report", digits),
    lambda digits, _file: ("lineage", "report"),
    lambda digits, _file: ("diff", digits, digits),
]


@pytest.mark.parametrize("words", NAMING)
def test_another_plan_in_its_place_is_refused(shop, swapped, words):
    first, second = swapped
    envelope = shop.json(*words(first["fingerprint"], first["manifest"]), code=4)
    assert codes(envelope) == ["CMP047"]
    assert second["fingerprint"] in envelope["diagnostics"][0]["message"]
    assert not (shop.folder / "logs").exists()
    assert not (shop.folder / "output").exists()


def test_an_agent_gets_no_other_plan_than_it_named(shop, swapped):
    first, second = swapped

    @ask(shop.folder, "--allow-run")
    async def _found(agent):
        assert await agent.code("run", fingerprint=first["fingerprint"]) == "CMP047"
        for wrong in (f"{second['fingerprint']}\n", second["fingerprint"].upper(), second["fingerprint"][:63]):
            assert await agent.code("run", fingerprint=wrong) == "MCP005"
        assert (await agent("run", fingerprint=second["fingerprint"]))["data"]["status"] == "complete"

    (run,) = shop.json("logs", "list")["data"]["sessions"]
    assert run["fingerprint"] == second["fingerprint"]


def test_the_plan_of_a_session_is_the_one_that_it_ran(shop, swapped):
    session = shop.run()
    shutil.copyfile(shop.folder / swapped[1]["manifest"], shop.folder / "logs" / session / "manifest.json")
    record = shop.folder / "logs" / session / "run.json"
    record.write_text(record.read_text().replace(swapped[1]["fingerprint"], swapped[0]["fingerprint"]))
    for words in (("run", "--resume", session), ("replay", session)):
        assert codes(shop.json(*words, code=4)) == ["CMP047"]


def test_the_first_twelve_digits_are_enough_where_one_plan_has_them(shop):
    digits = shop.json("compile", "pipelines/example.yaml")["data"]["fingerprint"]
    said = shop("run", digits[:12], "--dry-run").stderr
    assert digits in said
    assert "CMP048" in said
    assert digits in shop("run", digits[:63], "--dry-run").stderr
    for few in (digits[:11], digits[:6]):
        envelope = shop.json("run", few, code=2)
        assert codes(envelope) == ["CMP049"]
        assert "first 12" in envelope["diagnostics"][0]["hint"]
    assert codes(shop.json("run", f"{digits[:12]}{'0' * 52}", code=4)) == ["CMP047"]


def test_digits_that_two_plans_begin_with_name_none(shop):
    compiled = shop.json("compile", "pipelines/example.yaml")["data"]
    twin = json.loads((shop.folder / compiled["manifest"]).read_bytes())
    twin["fingerprint"] = compiled["fingerprint"][:12] + "0" * 52
    path = shop.folder / "build" / "twin" / compiled["short"] / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(twin))
    envelope = shop.json("run", compiled["short"], code=2)
    assert codes(envelope) == ["CMP027"]
    assert all(digits in envelope["diagnostics"][0]["message"] for digits in (compiled["fingerprint"], "0" * 52))
    assert envelope["diagnostics"][0]["hint"] == "give more digits"
    done = shop.json("run", compiled["fingerprint"])
    assert done["data"]["status"] == "complete"
