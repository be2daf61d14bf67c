"""The tour: every call in every kind of state, looked at from everywhere, without chance.

A random program reaches a state by luck.  The tour lists the states instead.  Its *axes* are what a call can depend on:
what its range covers, which file is mapped and how, at which place, what the pages and the rights have been, who else
has them, which call is made, and where one looks afterwards.  A *row* has one value of each axis.  It determines a
short program, which runs in lockstep: the reference says which outcomes are allowed.

`array` chooses rows so that they contain every possible pair of values, and every possible triple of axes that
interact (`axes.INTERACTING`).
"""
