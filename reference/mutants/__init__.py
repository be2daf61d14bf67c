"""Mutants: copies of the reference with one defect each; `mutant` defines their forms."""
