"""What a session records, read once for all that tell of runs: page, package, console, agents and lineage events.

`record` is what a session's files say, `reading` what that means: first cause, what it blocked, the last success,
what is stale, what the pipeline is for. `failures` has the classes of codes, `changes` what differs between two runs,
`row_counts` rows by step, `findings` what looks wrong, `rejects` rows that were set aside, `deliveries` what was
written.
"""
