"""One setting for all tests.

Hypothesis draws the same small number of examples on every run, so that a red run can be run again. For a search:
``pytest --hypothesis-profile thorough``.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

import anpr_share  # first of all: it keeps polars from spilling

# A slow shared machine must not turn a green test red: no deadline, no complaint about slow data.
settings.register_profile(
    "everyday",
    derandomize=True,
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("everyday")

# The tests say themselves which site and passphrase they use.
for _name in ("ANPR_SHARE_SITE", "ANPR_SHARE_PASSPHRASE_FILE"):
    os.environ.pop(_name, None)

assert anpr_share.__version__
