"""Seeing: the classifier, language segmentation, attribution."""
