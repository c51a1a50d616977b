"""Compares plans and runs, causes first, and traces columns through plans.

`differences` compares plans and digests, `lineage` traces columns within and across plans, `read_back` describes
outputs in plain language, `cuts` tells how SQL steps can be computed in parts.
"""
