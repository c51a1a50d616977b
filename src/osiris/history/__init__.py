"""Reads recorded sessions, once for all consumers: report page, AIOP package, console, agents and lineage events.

`record` reads a session's files; `reading` interprets them: first cause, blocked steps, last success, stale targets,
intent. `failures` classifies codes, `changes` compares two runs, `row_counts` has rows by step, `findings` suspicious
results, `rejects` rejected rows, `deliveries` what was written.
"""
