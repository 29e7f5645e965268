"""Figures, a file each: matplotlib, axes in and axes out, nothing global touched. ``exp.plot`` calls them."""
