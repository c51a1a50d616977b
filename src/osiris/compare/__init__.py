"""What differs between two plans or runs, the first cause first, and how columns flow through plans."""
