"""What is promised, and what has been judged: clauses, levels, scopes, properties, verdicts."""
