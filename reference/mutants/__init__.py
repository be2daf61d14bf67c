"""References with one thing wrong each; `mutant` says what they are made of."""
