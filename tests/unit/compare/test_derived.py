"""Differences that follow from SQL and schemas are named only if there is no other."""

import copy

from osiris.compare.differences import diff
from osiris.model import Manifest


def changed(manifest, **changes):
    """Return a plan whose step `joined` differs, as its hash does."""
    data = copy.deepcopy(dict(manifest.data))
    step = next(step for step in data["steps"] if step["id"] == "joined")
    step.update(changes, hash="other")
    return Manifest(data)


def hashed(manifest):
    return Manifest({**manifest.data, "steps": [{**step, "hash": step["id"]} for step in manifest.steps]})


def other_lineage(manifest):
    step = next(step for step in manifest.steps if step["id"] == "joined")
    lineage = copy.deepcopy(step["lineage"])
    lineage["columns"]["total"] = [["orders", "amount", "copy"], ["orders", "id", "value"]]
    del lineage["columns"]["name"]
    lineage["rows"] = []
    return lineage


def test_the_cause_is_named_and_not_what_follows_from_it(plans):
    before = hashed(plans.shop())
    config = {"query": "SELECT 2 AS name"}
    after = changed(before, config=config, lineage=other_lineage(before), fused=["orders"])
    assert [str(item) for item in diff(before, after)] == [
        'steps/joined/config/query: "SELECT 1 AS name" -> "SELECT 2 AS name"'
    ]


def test_without_another_cause_each_column_is_named(plans):
    before = hashed(plans.shop())
    after = changed(before, lineage=other_lineage(before), fused=["orders", "people"])
    assert [str(item) for item in diff(before, after)] == [
        "steps/joined/lineage/columns/name: people.name (copy) -> nothing",
        "steps/joined/lineage/columns/total: orders.amount (aggregate) -> orders.amount (copy), orders.id (value)",
        "steps/joined/lineage/rows: orders.customer, people.id, people.name -> nothing",
        "steps/joined/fused: nothing -> orders, people",
    ]


def test_a_lineage_that_is_no_longer_told_is_named(plans):
    before = hashed(plans.shop())
    found = diff(before, changed(before, lineage=None))
    assert [item.path for item in found] == [
        "steps/joined/lineage/columns/name",
        "steps/joined/lineage/columns/total",
        "steps/joined/lineage/columns/largest",
        "steps/joined/lineage/rows",
    ]
    assert found[0].to_json() == {
        "leaf": "steps/joined/lineage/columns/name",
        "path": "steps/joined/lineage/columns/name",
        "text": "steps/joined/lineage/columns/name: people.name (copy) -> nothing",
        "old": [["people", "name", "copy"]],
    }


def test_the_same_plan_has_no_difference(plans):
    assert diff(hashed(plans.shop()), hashed(plans.shop())) == []
