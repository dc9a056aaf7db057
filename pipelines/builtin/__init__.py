"""Fashion Scenes: the built-in world, its sources and the bundled models."""
