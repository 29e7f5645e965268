"""Where a layer looks in the input, and how maps are resampled to it."""
