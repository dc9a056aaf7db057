"""The object store: objects by key, and artifacts by content."""
