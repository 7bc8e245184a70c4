"""Whether there is anything to find, as pure rules: what falls out and why, what deletion takes, what alerts are worth.

`figures` holds the results; `funnel`, `race`, `base_rate` and `verdict` work them out; `suppression` makes of them what
may be shared, and `combining` adds up what several forces have shared. Nothing here opens a file.
"""
