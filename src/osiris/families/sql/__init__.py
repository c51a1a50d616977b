"""What all SQL databases share: ledger, staging, types, decoding, and the end of what takes too long."""
