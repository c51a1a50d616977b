"""The fast canonical JSON equals RFC 8785, byte for byte, or is rejected in the same way."""

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from osiris.canonical import canonical_bytes

words = st.text() | st.sampled_from(
    ["", "\x00\x1f\x7f\x80", '"\\/\b\f\n\r\t', "\u2028\u2029", "\ud800", "😀", "\ue000"]
)
numbers = st.integers() | st.sampled_from([2**53, -(2**53), 2**53 - 1]) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner) | st.tuples(inner),
    max_leaves=20,
)


def outcome(spell, value):
    try:
        return spell(value)
    except ValueError as error:
        return type(error)


@given(values)
def test_same_bytes(value):
    assert outcome(canonical_bytes, value) == outcome(rfc8785.dumps, value)


@pytest.mark.parametrize("value", [{1: 2}, {None: 1}, object(), b"x", {"a": {1}}])
def test_what_is_no_json_is_refused(value):
    assert outcome(canonical_bytes, value) is rfc8785.CanonicalizationError
