"""The engine: a stream of requests in, a stream of images out, through one resident batch."""
