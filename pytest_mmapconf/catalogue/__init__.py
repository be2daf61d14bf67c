"""The promises, and their verdicts: clauses, levels, scopes, properties."""
