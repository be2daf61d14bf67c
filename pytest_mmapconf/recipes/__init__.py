"""Recipes: how implementations that one machine can run are built, started and judged, as data."""
