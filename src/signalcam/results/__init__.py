"""The result and what it does: labelled maps, selection, files."""
