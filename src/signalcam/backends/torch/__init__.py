"""PyTorch: borrowing the model, hooks on its layers, logits, reruns, weights."""
