"""A small internet in network namespaces, with real programs loose in it."""
