"""Grades: points for the reports of a class, by the rows of a table of points."""
