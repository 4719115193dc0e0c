"""One door for each effect: processes, time, files."""
