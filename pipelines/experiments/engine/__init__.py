"""The bench of the engine."""
