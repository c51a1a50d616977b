"""The doctor of the gcs family: that of all object stores."""

from osiris.families.store_doctor import examine

__all__ = ["examine"]
