"""The console: the service in a browser, at /console. It calls the functions behind the API's endpoints, and no others."""
