"""The worker program, which is also sent to remote targets."""
