"""What people look at: plans as diagrams and as one static HTML page."""
