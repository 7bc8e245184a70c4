"""Signed documents: what two organisations hand each other, and the one strict way to read it.

Verify the bytes, then parse those same bytes. Every reader here is total: any bytes give a value or an
:class:`~anpr_share.errors.AnprShareError`.
"""
