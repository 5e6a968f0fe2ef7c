"""The companies of the sandbox: stored rows, generated books, and reports derived from them."""
