"""The frozen values that cross rooms: what manifests say, what is planned, what was seen, what it means."""
