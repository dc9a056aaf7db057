"""The quality report of a published version: four questions, each with numbers and the images that are guilty."""
