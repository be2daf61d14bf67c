"""From what pytest saw to what the user is told.

`marking` sits where the cases run and writes on each of pytest's reports, as plain data, whose case it is, what it came
to and, where it fails, what was `seen`; and it tells the controller the names of a worker's cases before the first of
them runs, for a worker that dies in it.  `reporting` sits on the controller, `gathering` what comes in, and makes of it
a `run`, which is all that is told.

`terminal` says it in the summary.  `outputs` writes it to files: `document` as JSON, from which it can be read again;
`markdown`, `badge`, and `html`, whose page is laid out of what `view` and `grid` have computed.  `merging` puts shards
together and sets several runs side by side.
"""
