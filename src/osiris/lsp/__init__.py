"""Help in an editor: a server of the Language Server Protocol for the pipelines of a project.

It never connects, resolves secrets of connections, or starts a worker. What it says of a text is what
`osiris validate` says.
"""
