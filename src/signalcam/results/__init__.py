"""Here you find the result of an explanation: labelled maps, selection, statistics and files."""
