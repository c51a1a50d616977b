"""Runs at the other end of a transport: sandboxes, and other machines."""
