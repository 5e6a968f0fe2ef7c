"""HTTP requests and responses of the sandbox."""
