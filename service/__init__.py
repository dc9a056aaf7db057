"""The service: HTTP API, state, scheduler, client and the `counterpoise` command. Imports no torch."""
