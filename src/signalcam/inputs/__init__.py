"""What the user passes in: layouts, containers, padding, tokens."""
