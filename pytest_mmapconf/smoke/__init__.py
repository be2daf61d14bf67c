"""`--mmap-smoke`: check that an adapter works, before the implementation that it adapts is judged.

A wrong adapter looks like a wrong implementation: hundreds of cases fail, and none of them says what to correct.  The
smoke test is a dozen checks of basic behaviour that every implementation has, in increasing order.  Each check runs on
a system of its own and reports what it observed and what to change, in the terms of the adapter's author (the contract
for a class in Python, the protocol for an agent).  A check is skipped if another check that it depends on has failed.

A class in Python runs in pytest's own process, which it may terminate or block.  The checks therefore run in a child
process, which announces each call before it makes it.  If the child terminates or does not answer, its last
announcement identifies the call, and another child continues with the remaining checks.
"""
