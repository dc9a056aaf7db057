"""Training downstream classifiers, and measuring them."""
