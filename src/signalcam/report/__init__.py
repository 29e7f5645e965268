"""The report: one page from a result, and the viewer that serves a store."""
