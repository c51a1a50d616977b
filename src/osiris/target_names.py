"""The names of targets of runs: ours, and those that packages bring."""

OWN = ("local", "bwrap", "e2b")

BROUGHT = "osiris.targets"
"""The group of entry points by which packages bring further ones."""


def _known(value: object) -> object | None:
    """Return the name of a target that there is; only for one that is not ours is it looked what is installed."""
    if value in OWN:
        return value
    from importlib.metadata import entry_points

    return value if isinstance(value, str) and entry_points(group=BROUGHT, name=value) else None


A_TARGET = (_known, f"one of {', '.join(OWN)}, or a target that a package brings")
"""What takes the name of a target, and how that is told."""
