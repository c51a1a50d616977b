"""The package of a run: what happened, why, and what to do, for a model or a person that knows nothing else of it.

`answer` says it in short, `sections` at length with what it rests on, `card` in Markdown; `size_budget` fits it into
its limit, `package` writes and finds packages.
"""
