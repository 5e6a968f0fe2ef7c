"""Every entity that can be read, by which feed, with its columns, keys and rules: data and its loader."""
