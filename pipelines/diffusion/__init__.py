"""Diffusion: the checkpoint, the solver, and the engine that turns requests into images."""
