"""What a query gives, asked of the engine, and what its errors mean."""
