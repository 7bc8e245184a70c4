"""A force's extract: what its tables are, how a profile maps it, how it is read, and which rows pass.

    schema    what each column is, from ``schemas/``: the one source that checking, exporting and loading use
    profile   how one system's extract maps onto our tables
    extract   the file as batches of text cells (`blocks`, `delimited` and `columnar` read the three kinds of file)
    times     local time texts to UTC
    checks    the rules, as polars expressions: which rows pass, and which rule the others fail
    check     the rules over a whole extract, in constant memory, into a `report`

Rows go through it a batch at a time. No message holds a cell's value.
"""
