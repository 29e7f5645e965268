"""The gradients of Keras' engines, a file each."""
