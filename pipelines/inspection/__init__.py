"""A source's own faults: copies, likely wrong labels, blank images, classes too small; before anything is spent on it."""
