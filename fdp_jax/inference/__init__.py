"""A person's own video: read, its face aligned as the corpora's are, classified, and shown."""
