"""A run, rendered. Pure: nothing is written here."""
