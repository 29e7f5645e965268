"""Demo: a real electrocardiogram and a small trained network, to try every method on."""
