"""The executable specification: a model of the documented API in plain Python, to be read as one reads a manual page.

Start with `mapping_calls` and `page_calls`, which have the calls; `address_space` and `paging` say what the calls
work on, `files` and `disk` what a mapping maps, `choices` what the specification leaves open.
"""
