"""A version of a dataset: planned, made shard by shard, finalized, refreshed, browsed."""
