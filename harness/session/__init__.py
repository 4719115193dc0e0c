"""The phases in order, the undo stack, the run record."""
