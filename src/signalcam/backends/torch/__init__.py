"""PyTorch, in three rooms: borrowing the model, tapping its layers, reading its output."""
