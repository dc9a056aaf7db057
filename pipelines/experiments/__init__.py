"""Measuring the methods and the engine: benchmarks and ablations."""
