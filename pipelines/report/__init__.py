"""What a person reads of a version: charts, the page, the dataset card."""
