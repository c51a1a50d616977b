"""Object stores: how a bucket is opened, and files in it."""
