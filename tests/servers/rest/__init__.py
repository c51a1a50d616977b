"""The parts of the local PostgREST (`tests/servers/postgrest.py`): one file for each concern.

`web` speaks HTTP and does the faults, `keys` is the gateway and the tokens, `service` turns a request into an answer,
`query` reads the query string, `statements` writes the SQL, `catalog` is the schema cache, `openapi` the document at
the root, `errors` what goes wrong. Written from the documentation of PostgREST (version 14) and of Supabase.
"""
