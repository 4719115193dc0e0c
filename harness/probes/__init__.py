"""Traffic, and questions to nodes: what is seen, as values."""
