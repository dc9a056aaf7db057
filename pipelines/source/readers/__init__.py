"""One reader for each form that a source may have."""
