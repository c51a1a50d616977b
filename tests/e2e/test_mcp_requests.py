"""Requests of agents over `osiris mcp`: from a request to rows, and what is told of a wrong one."""

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
    """Write flights, and return how many there are per carrier and month, with their average delay."""
    chance = random.Random(SEED)  # noqa: S311
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
