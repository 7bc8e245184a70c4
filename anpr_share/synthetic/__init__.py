"""Made-up extracts: reads and targets that look like a force's own, for the demo, tests, training and benchmarks.

Everything is seeded: the same scenario gives the same bytes on every machine. No plate is taken from anywhere; every
one has a legal layout, so a made-up plate may well exist, and stands for nobody.

    scenario = Scenario(seed=7, days=14, reads_per_day=50_000, distinct=0.25)
    write_reads_csv(Path("reads.csv"), scenario)
    write_targets_csv(Path("targets.csv"), scenario, TargetPlan(rows=40, found=25))

Two forces are two scenarios with one ``world_seed`` and different ``force``: they share vehicles, and
``TargetPlan.found_by_both`` chooses targets among those.
"""

from anpr_share.synthetic.scenario import Scenario
from anpr_share.synthetic.targets import TargetPlan, targets
from anpr_share.synthetic.traffic import reads
from anpr_share.synthetic.writing import LAYOUTS, PLAIN_PROFILE, write_reads_csv, write_targets_csv

__all__ = [
    "LAYOUTS",
    "PLAIN_PROFILE",
    "Scenario",
    "TargetPlan",
    "reads",
    "targets",
    "write_reads_csv",
    "write_targets_csv",
]
