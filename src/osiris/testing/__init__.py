"""The suite that every component passes, ours or a stranger's.

from osiris.testing import check_component

def test_my_component():
    assert check_component("my_family.extractor") == []
"""

from osiris.testing.component import check_component

__all__ = ["check_component"]
