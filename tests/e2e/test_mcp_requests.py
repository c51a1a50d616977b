"""Requests of agents over `osiris mcp`: from a request to rows, and the errors of a wrong one."""

import csv
import random
from collections import defaultdict

import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from tests.e2e.agent import ask
from tests.e2e.sessions import Shop

FLIGHTS = {
    "name": "delay_per_carrier",
    "sources": [{"relation": "data/flights.csv"}],
    "steps": [
        {
            "name": "delays",
            "input": "data/flights.csv",
            "filters": [{"column": "cancelled", "operator": "=", "values": ["0"]}],
            "group": [{"column": "carrier"}, {"column": "flown_on", "unit": "month", "name": "month"}],
            "measures": [
                {"name": "flights", "function": "count"},
                {"name": "average_delay", "function": "average", "column": "delay"},
            ],
            "sort": [{"column": "carrier"}, {"column": "month"}],
        }
    ],
    "outputs": [{"input": "delays", "component": "filesystem.parquet_writer", "path": "output/delays.parquet"}],
}
SEED = 14


@pytest.fixture
def shop(osiris, tmp_path):
    return Shop(osiris, tmp_path / "shop")


def written_flights(folder):
    """Write flights, and return the number per carrier and month, with the average delay."""
    chance = random.Random(SEED)
    delays = defaultdict(list)
    with (folder / "data" / "flights.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["carrier", "flown_on", "delay", "cancelled"])
        for _ in range(400):
            carrier, month = chance.choice(["AA", "IT", "US"]), chance.randint(1, 3)
            delay, cancelled = chance.randint(-10, 90), int(chance.random() < 0.1)
            rows.writerow([carrier, f"2025-{month:02}-{chance.randint(1, 28):02}", delay, cancelled])
            if not cancelled:
                delays[carrier, f"2025-{month:02}-01"].append(delay)
    return [(*key, len(each), pytest.approx(sum(each) / len(each))) for key, each in sorted(delays.items())]


def tree(folder):
    """Return every file of a project with its bytes, but for caches."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if ".osiris" not in path.parts}


def test_an_agent_has_flights_per_carrier_and_month_written_to_parquet(shop):
    expected = written_flights(shop.folder)
    before = tree(shop.folder)

    @ask(shop.folder, "--allow-run")
    async def oml(agent):
        (table,) = (await agent("discover", target="data/flights.csv"))["data"]["tables"]
        assert (table["name"], len(table["columns"])) == ("data/flights.csv", 4)
        told = (await agent("oml_schema", of="request"))["data"]
        Draft202012Validator(told["schema"]).validate(FLIGHTS)
        seen = await agent("preview", request=FLIGHTS)
        assert seen["data"]["tables"][0]["row_count"] == len(expected)
        plan = await agent("compile", request=FLIGHTS)
        (output,) = plan["data"]["outputs"]
        assert output["grain"] == ["carrier", "month"]
        lines = "\n".join(output["read_back"])
        assert all(text in lines for text in ("cancelled", "one row per", "average of delay")), lines
        assert "manifest" not in plan["data"]
        assert tree(shop.folder) == before
        (saving,) = plan["next"]
        assert saving == {"tool": "oml_save", "arguments": {"file": "pipelines/delay_per_carrier.yaml"}}
        saved = await agent("oml_save", oml=plan["data"]["oml"], **saving["arguments"])
        compiled = await agent(saved["next"][0]["tool"], **saved["next"][0]["arguments"])
        assert compiled["data"]["fingerprint"] == plan["data"]["fingerprint"]
        done = await agent(compiled["next"][0]["tool"], **compiled["next"][0]["arguments"])
        assert done["data"]["status"] == "complete"
        return plan["data"]["oml"]

    rows = pq.read_table(shop.folder / "output" / "delays.parquet").to_pylist()
    assert [(r["carrier"], str(r["month"])[:10], r["flights"], r["average_delay"]) for r in rows] == expected
    assert (shop.folder / "pipelines" / "delay_per_carrier.yaml").read_text() == oml


SOURCES = [
    # what a relation is called in a request, and the code with which it is refused
    ("data/orderz.csv", "CHT001"),
    ("../x.csv", "MCP002"),
    ("/etc/passwd", "MCP002"),
    (".env", "MCP002"),
    ("@postgres.nosuch/orders", "CON002"),
    ("data/" + "x" * 5_000, "DRV007"),
]
BY_CARIER = {"steps": [{**FLIGHTS["steps"][0], "group": [{"column": "carier"}]}]}
PARTS = [
    # changes of the request, and the pointers of what is wrong
    ({"sources": 5, "steps": [{}], "nam": "x"}, ["/nam", "/sources", "/steps/0/name"]),
    ({**BY_CARIER, "outputs": []}, ["/outputs", "/steps/0/group/0/column"]),
    ({"question": {"about": "x", "text": "Which one?", "choices": []}}, ["/question"]),
]


@pytest.mark.long
def test_a_wrong_request_is_told_with_codes_and_pointers_and_names_no_command(shop):
    written_flights(shop.folder)
    before = tree(shop.folder)

    @ask(shop.folder)
    async def _found(agent):
        async def refused(request):
            document = await agent("compile", ok=False, request=request)
            hints = [each.get("hint") or "" for each in document["diagnostics"]]
            assert not any("osiris " in hint or "--" in hint for hint in hints), hints
            return document

        for relation, code in SOURCES:
            found = await refused({**FLIGHTS, "sources": [{"relation": relation}]})
            first = found["diagnostics"][0]
            assert (first["code"], first["pointer"]) == (code, "/sources/0/relation"), relation[:50]
        for change, pointers in PARTS:
            found = await refused({**FLIGHTS, **change})
            assert [each["pointer"] for each in found["diagnostics"]] == pointers
            assert found["next"] == [{"tool": "oml_schema", "arguments": {"of": "request"}}]
        near = await refused({**FLIGHTS, **BY_CARIER})
        assert "carrier" in near["diagnostics"][0]["hint"]
        out = [{"input": "delays", "component": "filesystem.csv_writer", "path": "../out.csv"}]
        outside = await refused({**FLIGHTS, "outputs": out})
        assert outside["diagnostics"][0]["pointer"] == "/steps/2/config/path"
        assert "path: ../out.csv" in outside["data"]["oml"]
        deep = {}
        for _ in range(150):
            deep = {"x": deep}
        assert (await refused(deep))["diagnostics"][0]["code"] == "CHT001"
        assert await agent.code("compile", request=FLIGHTS, oml="x") == "MCP005"
        assert await agent.code("compile", request="x") == "MCP005"
        assert await agent.code("oml_save", file="pipelines/x.yaml") == "MCP005"

    assert tree(shop.folder) == before


@pytest.mark.long
def test_the_text_that_a_request_became_is_never_cut(shop):
    written_flights(shop.folder)
    steps = [{"name": f"step_{n}", "inputs": ["flights"], "sql": long_query(n)} for n in range(2)]

    @ask(shop.folder)
    async def _found(agent):
        for many, is_told in ((1, True), (2, False)):
            request = {**FLIGHTS, "name": f"long_{many}", "steps": steps[:many]}
            request["outputs"] = [{**FLIGHTS["outputs"][0], "input": "step_0"}]
            found = (await agent("compile", request=request))["data"]["oml"]
            assert len(agent.text.encode()) <= 12_000
            whole = (await agent.whole("compile", request=request))["oml"]
            assert found == whole if is_told else "detail: full" in found
            saved = await agent("oml_save", request=request, file=f"pipelines/long_{many}.yaml")
            assert (shop.folder / saved["data"]["file"]).read_text() == whole


def long_query(number):
    names = ", ".join(f"delay + {n} AS column_{number}_{n:04}" for n in range(170))
    return f"SELECT carrier, {names} FROM flights"


def test_joins_by_which_several_rows_match_one_are_told(shop):
    (shop.folder / "data" / "prices.csv").write_text("item,price\na,1\na,2\nb,3\n")
    (shop.folder / "data" / "sold.csv").write_text("item,pieces\na,5\nb,6\n")
    step = {
        "name": "joined",
        "input": "sold",
        "joins": [{"input": "prices", "on": [{"left": "item", "right": "item"}]}],
    }
    request = {
        "name": "joined_prices",
        "sources": [{"relation": "data/sold.csv"}, {"relation": "data/prices.csv"}],
        "steps": [step],
        "outputs": [{"input": "joined", "component": "filesystem.csv_writer"}],
    }

    @ask(shop.folder)
    async def data(agent):
        return (await agent("compile", request=request))["data"]

    assert data["multiplies"] == ["join several rows of prices to one of sold, adding 1 row"]
