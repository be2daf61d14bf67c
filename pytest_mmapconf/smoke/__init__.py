"""`--mmap-smoke`: does the adapter work?  Asked before anybody judges what is behind it.

A wrong adapter looks like a wrong implementation: hundreds of failures, and none says what to put right.  So there are
a dozen checks of what every implementation does, in increasing order.  Each is made on a system of its own, says what
it has seen and what to change, in the words of who wrote the adapter (the contract for a class in Python, the protocol
for an agent), and is left out where one that it builds on has failed.

A class in Python runs in pytest's own process, and may end it or hang it.  So the checks run in a child, which tells of
each call before it makes it: whoever does not come back is known by its last words, and another child goes on.
"""
