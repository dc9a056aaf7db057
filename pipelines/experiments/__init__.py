"""Measuring the methods: benchmarks and ablations."""
