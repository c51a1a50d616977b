"""The drawing of a graph: properties of every one."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osiris.report.drawing import BOX_HEIGHT, BOX_WIDTH, draw


@st.composite
def graphs(draw_value):
    """Generate acyclic graphs with nodes in topological order."""
    size = draw_value(st.integers(1, 12))
    pairs = [(f"n{a}", f"n{b}") for b in range(size) for a in range(b)]
    edges = draw_value(st.lists(st.sampled_from(pairs), unique=True, max_size=24)) if pairs else []
    return [f"n{number}" for number in range(size)], edges


def overlaps(one, other):
    return abs(one.x - other.x) < BOX_WIDTH and abs(one.y - other.y) < BOX_HEIGHT


@given(graphs())
def test_boxes_stand_apart_inside_the_drawing_and_edges_lead_down(graph):
    nodes, edges = graph
    drawing = draw(nodes, edges)
    boxes = {box.name: box for box in drawing.boxes}
    assert list(boxes) == nodes
    for box in drawing.boxes:
        assert 0 <= box.x <= drawing.width - BOX_WIDTH
        assert 0 <= box.y <= drawing.height - BOX_HEIGHT
        assert not any(overlaps(box, other) for other in drawing.boxes if other is not box)
    assert [(curve.source, curve.target) for curve in drawing.curves] == edges
    for source, target in edges:
        assert boxes[source].y < boxes[target].y
    assert draw(nodes, edges) == drawing


@given(graphs())
def test_no_edge_runs_under_a_box(graph):
    """Where an edge passes a rank it goes straight down, beside the boxes of the rank."""
    drawing = draw(*graph)
    for curve in drawing.curves:
        for x, bottom in re.findall(r"([\d.]+) [\d.]+ V([\d.]+)", curve.path):
            beside = [box for box in drawing.boxes if box.y + BOX_HEIGHT == float(bottom)]
            assert beside
            assert not any(box.x <= float(x) <= box.x + BOX_WIDTH for box in beside)


def test_a_chain_is_a_straight_line():
    drawing = draw(["a", "b", "c"], [("a", "b"), ("b", "c")])
    assert len({box.x for box in drawing.boxes}) == 1
    assert drawing.curves[0].path == "M112 64 C112 92 112 92 112 120"


def test_neighbours_are_untangled():
    drawing = draw(["a", "b", "x", "y"], [("b", "x"), ("a", "y")])
    at = {box.name: box.x for box in drawing.boxes}
    assert (at["a"] < at["b"]) == (at["y"] < at["x"])


def test_nothing_is_drawn_of_nothing():
    assert draw([], []).boxes == ()


@pytest.mark.parametrize("shape", ["chain", "fan", "far"])
def test_three_hundred_steps(shape):
    nodes = [f"n{number}" for number in range(300)]
    edges = {
        "chain": list(pairwise(nodes)),
        "fan": [(nodes[0], node) for node in nodes[1:]],
        "far": [*pairwise(nodes), *((nodes[0], node) for node in nodes[2:])],
    }[shape]
    drawing = draw(nodes, edges)
    assert len(drawing.boxes) == 300
    assert len(drawing.curves) == len(edges)
