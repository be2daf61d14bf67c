"""The executable specification: a model of the documented API in plain Python, to be read as one reads a manual page.

Start with `mapping_calls` and `page_calls`, where the calls stand; `address_space` and `paging` say what the calls
work on, `files` and `disk` what is behind a mapping, `choices` what nobody has specified.
"""
