"""Every registered component, ours or another package's, matches its spec."""

import pytest

from osiris.registry import load_registry
from osiris.testing import check_component

REGISTRY = load_registry()


@pytest.mark.parametrize("name", REGISTRY.names())
def test_spec_and_driver_are_equal_and_the_examples_work(name):
    assert check_component(name, REGISTRY) == []


@pytest.mark.parametrize("name", REGISTRY.families())
def test_a_familys_connections_are_described(name):
    family = REGISTRY.family(name)
    assert family.title
    assert family.fields["type"] == "object"
    assert family.fields["additionalProperties"] is False
    assert all(field.get("description") for field in family.fields["properties"].values())
