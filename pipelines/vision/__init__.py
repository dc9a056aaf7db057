"""Vision models: the classifier, CLIP, segmentation by a word, attribution."""
