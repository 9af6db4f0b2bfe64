"""What the server answers by HTTP, by subject."""
