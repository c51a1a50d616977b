"""Remote runs: in sandboxes and on other machines."""
