"""What a leaked linkage key would cost: whoever has it can try every plate there is, and so name every vehicle.

Plates are counted by the families of vrm-1 (``docs/spec/rules-v1.md``), from the letters and digits that each pattern
allows; what is in an earlier family already is not counted again. The family ``other`` has no bound, and is left out.
"""

from __future__ import annotations

from typing import Final

from anpr_share.risk.figures import KeyLoss

_USUAL: Final = 23  # A-Z without I, Q and Z
_SERIAL: Final = 24  # A-Z without I and Q
_YEAR: Final = 21  # A-Z without I, O, Q, U and Z
_NORTHERN: Final = 25  # A-Z without Q
_TO_999, _TO_9999 = 999, 9_999  # numbers of one digit or more that do not begin with 0
_WITH_I_OR_Z: Final = sum(_NORTHERN**letters - _USUAL**letters for letters in (2, 3))

PLATES: Final = {
    "current": _USUAL**2 * 100 * _SERIAL**3,
    "prefix": _YEAR * _TO_999 * _USUAL**3,
    "suffix": _USUAL**3 * _TO_999 * _YEAR,
    "q": _TO_999 * _USUAL**3,
    "northern_ireland": 2 * _WITH_I_OR_Z * _TO_9999,
    "dateless": 2 * ((_USUAL + _USUAL**2) * _TO_9999 + _USUAL**3 * _TO_999),
    "diplomatic": 900 * 2 * 900,
    "military": _SERIAL**2 * 100 * _SERIAL**2 + 100 * _SERIAL**2 * 100,
    "jersey": 90_000 + 900_000,  # J and five or six digits: with fewer they are dateless
    "digits_only": 999_990,
}
"""How many plates each family has."""


def key_loss(per_second: float) -> KeyLoss:
    """What trying all plates takes at so many hashes a second."""
    plates = sum(PLATES.values())
    return KeyLoss(plates, per_second, plates / per_second / 60)
