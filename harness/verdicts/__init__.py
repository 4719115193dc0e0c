"""Observations × expectations → verdicts and diagnoses. Pure."""
