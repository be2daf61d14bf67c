"""From what pytest saw to what the user is told.

`marking` sits where the cases run and writes on each of pytest's reports, as plain data, whose case it is and what it
came to; and it tells the controller the names of a worker's cases before the first of them runs, for a worker that dies
in it.  `reporting` sits on the controller and gathers all that.  `terminal` says it in the summary, `document` as JSON.
"""
