"""Kubernetes YAML text to the typed model; every fault at once, with file:line and field path."""
