"""Compiled functions under AddressSanitizer and UndefinedBehaviorSanitizer: no access out of bounds, no overflow."""

import json

import pytest
from tests.chance import draw_seed, say_tried
from tests.kernels.cases import twins

FEW, MANY = 60, 5000


def tries(with_sanitizers, folder, cases, *, timeout=600):
    """Try all compiled functions with sanitizers; return the outcome."""
    told = folder / "told"
    done = with_sanitizers("-m", "tests.kernels.tries", told, draw_seed(), cases, timeout, timeout=2 * timeout)
    assert done.returncode == 0, f"{told.read_text()}\n{done.stderr[-4000:]}"
    return json.loads(told.read_text())


def found_in(told, sanitized, cases):
    assert told["library"].startswith(str(sanitized))
    assert told["twins"] == {name: {"tried": cases, "left": []} for name in twins()}
    say_tried("inputs of compiled twins under sanitizers", cases * len(twins()))


def test_sanitizers_find_nothing(with_sanitizers, sanitized, tmp_path):
    found_in(tries(with_sanitizers, tmp_path, FEW), sanitized, FEW)


@pytest.mark.long
def test_sanitizers_find_nothing_in_many_inputs(with_sanitizers, sanitized, tmp_path):
    found_in(tries(with_sanitizers, tmp_path, MANY), sanitized, MANY)


CALLS = {
    "a byte behind a page": ("_call('wrong_read', page_of(bytes(100)).u1, 100)", "heap-buffer-overflow"),
    "a byte before a page": ("_call('wrong_read', page_of(bytes(100)).u1, -1)", "heap-buffer-overflow"),
    "a byte behind numbers": ("_call('wrong_read', numbers(range(3)), 24)", "heap-buffer-overflow"),
    "a byte behind texts of Arrow": (
        "_call('wrong_read', np.frombuffer(exact(pa.array(['abc'])).buffers()[2], np.uint8), 3)",
        "heap-buffer-overflow",
    ),
    "a sum that is too large": ("_call('wrong_sum', 2**63 - 1, 1)", "signed integer overflow"),
}


@pytest.mark.parametrize("what", CALLS)
def test_sanitizers_see(what, with_sanitizers):
    line, said = CALLS[what]
    names = "from tests.kernels.cases import exact, numbers, page_of; from osiris_kernels import _call"
    done = with_sanitizers("-c", f"import numpy as np, pyarrow as pa; {names}; {line}")
    assert done.returncode != 0
    assert said in done.stderr
