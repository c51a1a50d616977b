"""A component of the strange package."""
