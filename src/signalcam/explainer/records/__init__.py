"""Long recordings: explained window by window, stitched to one map."""
