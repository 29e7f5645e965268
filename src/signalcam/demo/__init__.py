"""A real recording and a small trained network to try every method on."""
