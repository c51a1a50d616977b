"""Discovery: the tables and columns of sources, queried by a worker and cached until the source changes."""
