"""Backbones: diffusion checkpoints taken apart."""
