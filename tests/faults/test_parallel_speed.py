"""The speedup of independent steps that run in parallel, on at least two cores."""

from datetime import datetime
from statistics import median

import pytest

from osiris.config import load_config

QUERY = "SELECT count(*) AS n FROM {0} AS x, {0} AS y, {0} AS z WHERE x.id * y.id + z.id = 7"


def seconds(desk, plan, parallel):
    """Run a plan with one thread for each step; returns the time from its first start to its last end."""
    env = {"OSIRIS_RUN__PARALLEL": str(parallel), "OSIRIS_RUN__THREADS": "1"}
    result = desk.run(plan, config=load_config(desk.project, env), new_run=True)
    assert result.status == "complete", result.diagnostics
    times = [datetime.fromisoformat(e["ts"]).timestamp() for e in desk.events(result) if "step" in e]
    return times[-1] - times[0]


@pytest.mark.bench
def test_four_queries_are_faster_two_at_once(desk, make_step):
    (desk.project.root / "in.csv").write_text("id\n" + "\n".join(map(str, range(900))))
    steps = []
    for n in range(4):
        steps.append(make_step(f"a{n}", "filesystem.csv_extractor", path="in.csv"))
        steps.append(make_step(f"b{n}", "duckdb.processor", "transform", [f"a{n}"], query=QUERY.format(f"a{n}")))
        steps.append(make_step(f"w{n}", "file_writer", "write", [f"b{n}"], path=f"w{n}.txt"))
    plan = desk.plan(steps)
    pairs = [(seconds(desk, plan, 1), seconds(desk, plan, 2)) for _ in range(3)]
    one, two = (median(times) for times in zip(*pairs, strict=True))
    print(f"{one:.2f} s one by one, {two:.2f} s two at once: {one / two:.2f} x")
    assert one / two >= 1.7
