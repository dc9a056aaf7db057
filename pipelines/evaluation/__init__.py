"""Is a model trained on a version better? The same classifier, trained with and without it, on real test images."""
