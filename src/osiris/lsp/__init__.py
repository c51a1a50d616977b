"""Help in an editor: a server of the Language Server Protocol for the pipelines of a project.

It never connects, resolves secrets of connections, or starts a worker. The problems of a text are those that
`osiris validate` reports. As there, the SQL dialect of a family from a package is imported to check a query in it.
"""
