"""Made-up extracts: reads, targets and cameras that look like a force's, for the demo, tests, training and benchmarks.

Everything is seeded: the same scenario gives the same bytes on every machine. No plate is taken from anywhere; every
one has a legal layout, so a made-up plate may well exist, and stands for nobody.

    scenario = Scenario(seed=7, days=14, reads_per_day=50_000, distinct=0.25)
    write_reads_csv(Path("reads.csv"), scenario)
    write_targets_csv(Path("targets.csv"), scenario, TargetPlan(rows=40, found=25))
    write_cameras_csv(Path("cameras.csv"), scenario)

Two forces are two scenarios with one ``world_seed`` and different ``force``: they share vehicles, and
``TargetPlan.found_by_both`` chooses targets among those.
"""

from anpr_share.synthetic.places import cameras
from anpr_share.synthetic.scenario import Scenario
from anpr_share.synthetic.targets import TargetPlan, targets
from anpr_share.synthetic.traffic import reads
from anpr_share.synthetic.writing import LAYOUTS, PLAIN_PROFILE, write_cameras_csv, write_reads_csv, write_targets_csv

__all__ = [
    "LAYOUTS",
    "PLAIN_PROFILE",
    "Scenario",
    "TargetPlan",
    "cameras",
    "reads",
    "targets",
    "write_cameras_csv",
    "write_reads_csv",
    "write_targets_csv",
]
