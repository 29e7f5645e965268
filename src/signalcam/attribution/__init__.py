"""The methods: maps from activations, gradients and scores."""
