"""The scopes of a query, and from which columns each of its outputs comes."""
