"""Discovery: what sources have, asked of a worker and remembered for as long as it is true."""
