"""Calls as data: recorded, written as programs in JSON, Python and C, and replayed."""
