"""The report: one HTML page of a result, and the viewer that serves a store."""
