"""One organisation's installation on disk: who it is, what it keeps secret, what it has agreed, holds and has done.

``layout`` knows the files, ``database`` the three SQLite files behind one connection, ``vault`` the passphrase and the
secrets, ``records`` how a row becomes an object and how it is authenticated, ``sealing`` how all of them together are,
``catalogue`` and ``holdings`` the rows, ``journals`` what SQLite may not be led to, ``publication`` how files appear
all at once, ``ledger`` the log, and ``opened`` all of them together.
"""
