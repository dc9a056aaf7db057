"""The scripts that made the bundled weights: seeded, resumable, each `python -m pipelines.builtin.train.NAME`."""
