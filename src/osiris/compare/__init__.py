"""What differs between two plans or runs, the first cause first, and how columns flow through plans.

`differences` has plans and digests, `lineage` columns within a plan and through several, `read_back` outputs in
words.
"""
