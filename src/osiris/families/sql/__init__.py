"""What all SQL databases share. A family gives one object (`database.Database`): traits, the catalogue, functions.

What they do alike stands here once and asks that object for what differs: `extractor`, `writer` with its `ledger`,
`discoverer`, and for databases in a file `database_file`, which has their doctor too.
"""
