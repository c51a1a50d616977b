"""A component that says much and leaves much behind, as somebody else would write it."""
