"""A component of another author that emits many events and writes many artifacts."""
