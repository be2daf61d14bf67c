"""Checks of the suite itself: mutants, variants, reachability."""
