"""The service: the `counterpoise` command, and the API to come. Imports no torch."""
