"""The code that all SQL databases share. A family provides one object (`database.Database`) for what differs.

`extractor`, `writer` with its `ledger` and `discoverer` call that object; `database_file` is for file databases, and
includes their doctor.
"""
