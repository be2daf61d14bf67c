"""Copies of the suite in other projects."""
