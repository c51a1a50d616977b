"""The doctor of the azure family: that of all object stores."""

from osiris.families.stores.doctor import examine

__all__ = ["examine"]
