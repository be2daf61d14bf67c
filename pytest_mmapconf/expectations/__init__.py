"""Deviations on record."""
