"""How work tells a person how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Shows one short line, in place of the one before. It never holds a plate, a token or a camera name."""
