"""The command line: one thin file for each group of commands.

A command reads its arguments, calls the library and hands back an `anpr_share.cli.common.Outcome`. It holds no rule,
and nothing imports it but the entry point and the tests.
"""
