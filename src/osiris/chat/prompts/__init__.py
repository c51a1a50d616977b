"""What is said to a model: texts with named placeholders, which a person may change, and what is put into them."""
