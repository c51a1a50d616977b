"""What a session records, read once for all that tell of runs: page, package, console, agents and lineage events."""
