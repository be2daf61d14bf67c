"""Reports of a run: everything that is rendered, and nothing of pytest's.

The hooks in `plugin` collect the results of the cases: `plugin.item_hooks` runs where the cases run and attaches to
each of pytest's reports, as plain data, the id of the case, its verdict and, if it fails, the evidence;
`plugin.terminal_hooks` and `plugin.results` run on the controller and build one `result.Run` from these reports.

A `result.Run` holds all data of a report.  `terminal` writes the summary on the terminal.  `outputs` writes files:
`json_report` writes JSON and reads it again; `markdown`, `badge` and `html` render the other formats.  `view` and
`grid` compute the contents of the page, and a template lays it out.  `merge` combines the shards of a run, and places
different runs side by side.
"""
