"""A second, slow and plain reading of the settlement rules; it shares no code with the product."""
