"""Here you find the figures, one file each, drawn with matplotlib; ``exp.plot`` calls them."""
