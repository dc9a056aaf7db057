"""The real images: opening a source, checking its images one by one, reading them; packing, uploading."""
