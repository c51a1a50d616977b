"""Which steps wait for which, and which read which."""

import pytest

from osiris.errors import InvalidInput
from osiris.oml.parse import parse
from osiris.oml.validate import validate

HEAD = 'oml_version: "0.1.0"\nname: p\nsteps:\n'
KINDS = {
    "r": ("ham.reader", "read"),
    "t": ("ham.query", "transform"),
    "w": ("ham.writer", "write"),
    "u": ("x.y", "read"),
}


@pytest.fixture
def registry(installed):
    return installed(
        ham__reader={},
        ham__query={"modes": ["transform"], "inputs": {"min": 0, "max": None}},
        ham__writer={"modes": ["write"]},
    )


def text(*steps):
    """Each step is `kind id more`, as in `w out needs: [a]`."""
    lines = []
    for step in steps:
        kind, name, *more = step.split(" ", 2)
        component, mode = KINDS[kind]
        lines += [f"- id: {name}", f"  component: {component}", f"  mode: {mode}", *(f"  {each}" for each in more)]
    return HEAD + "\n".join(lines)


def link(registry, *steps):
    document = parse(text(*steps), "f.yaml")
    pipeline, notes = validate(document, registry, params={}, env={}, profile=None, defaults={})
    assert {d.code for d in notes} <= {"OML030", "OML032"}
    linked = {step.id: (list(step.needs), dict(step.inputs)) for step in pipeline.steps}
    return linked, [(d.code, d.message) for d in notes if d.code == "OML030"]


def refused(registry, *steps):
    with pytest.raises(InvalidInput) as caught:
        link(registry, *steps)
    return [(d.code, d.message) for d in caught.value.diagnostics]


LINKS = {
    "a chain without a word": (
        ["r a", "t b", "w c"],
        {"a": ([], {}), "b": (["a"], {"a": "a"}), "c": (["b"], {"b": "b"})},
        [],
    ),
    "an order without a word": (["r a", "r b"], {"b": (["a"], {})}, ["b"]),
    "behind a writer": (["r a", "w b", "t c"], {"c": (["b"], {})}, ["c"]),
    "no needs": (["r a", "r b needs: []"], {"b": ([], {})}, []),
    "a transform without input": (["r a", "t b needs: []"], {"b": ([], {})}, []),
    "two inputs": (["r a", "r b needs: []", "t c needs: [b, a]"], {"c": (["b", "a"], {"b": "b", "a": "a"})}, []),
    "needs of a reader only order": (["r a", "r b needs: [a]"], {"b": (["a"], {})}, []),
    "a writer gives nothing": (["r a", "w b", "w c needs: [a, b]"], {"c": (["a", "b"], {"a": "a"})}, []),
    "later in the file": (["w b needs: [a]", "r a needs: []"], {"b": (["a"], {"a": "a"})}, []),
    "named inputs": (
        ["r a", 't b inputs: {df: "@a", other: "${a.df}"}'],
        {"b": (["a"], {"df": "a", "other": "a"})},
        [],
    ),
    "inputs and needs": (
        ["r a", "r b needs: []", 't c {needs: [b], inputs: {df: "@a"}}'],
        {"c": (["b", "a"], {"df": "a"})},
        [],
    ),
    "inputs of nothing": (["r a", "t b inputs: {}"], {"b": ([], {})}, []),
    "an unknown component": (["u a", "w b"], {"a": ([], {}), "b": (["a"], {"a": "a"})}, []),
    "behind an unknown component": (["r a", "u b"], {"b": (["a"], {})}, []),
}


@pytest.mark.parametrize("case", LINKS)
def test_needs_and_inputs_are_explicit(registry, case):
    steps, expected, noted = LINKS[case]
    steps = [step.replace("{needs: [b], ", "needs: [b]\n  ").replace('"@a"}}', '"@a"}') for step in steps]
    linked, notes = link(registry, *steps)
    assert {name: linked[name] for name in expected} == expected
    assert [message.split("'")[1] for _, message in notes] == noted


def test_circles_are_named_once_and_in_order(registry):
    needs = {"a": "b", "b": "c", "c": "a", "d": "c", "e": "f", "f": "e", "g": "f, d"}
    found = refused(registry, *(f"t {name} needs: [{needed}]" for name, needed in needs.items()))
    assert found == [
        ("OML017", "steps need each other in a cycle: a → b → c → a"),
        ("OML017", "steps need each other in a cycle: e → f → e"),
    ]


def test_a_circle_of_inputs(registry):
    found = refused(registry, 't a inputs: {x: "@b"}', 't b inputs: {x: "@a"}')
    assert [code for code, _ in found] == ["OML017"]


def test_a_circle_of_thousands_is_found_and_short(registry):
    count = 5000
    found = refused(registry, *(f"t s{i} needs: [s{(i + 1) % count}]" for i in range(count)))
    assert [code for code, _ in found] == ["OML017"]
    assert "… (5000 steps) → s0" in found[0][1]


def test_a_chain_of_thousands_is_no_circle(registry):
    linked, _ = link(registry, "r s0", *(f"t s{i} needs: [s{i - 1}]" for i in range(1, 5000)))
    assert linked["s4999"] == (["s4998"], {"s4998": "s4998"})


def test_thousands_of_unknown_needs_are_all_named(registry):
    found = refused(registry, *(f"r step{i} needs: [stap{i}]" for i in range(2000)))
    assert [code for code, _ in found] == ["OML015"] * 2000


def test_inputs_of_another_step_than_the_one_before_are_noted(registry):
    document = parse(text("r a", "r b needs: []", 't c inputs: {df: "@a"}'), "f.yaml")
    _, notes = validate(document, registry, params={}, env={}, profile=None, defaults={})
    assert [d.message for d in notes if d.code == "OML032"] == ["inputs say what is read; earlier they were ignored"]
