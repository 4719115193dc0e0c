"""From what was seen to what it means: statistics, the judge, and the diagnosis. Pure.

A session drives it so; ``lost`` maps vantage points that SSH did not reach to the reason::

    cells, tallies = verdicts.expectations(plan, vantages), verdicts.Tallies()
    while needs := verdicts.next_round(cells, tallies):
        attempts, lost = probe([need.job for need in needs])
        tallies = verdicts.add(tallies, needs, attempts, lost)
    found = verdicts.judge(cells, tallies, facts, generation=plan.generation, seed=seed)
    direct, _ = probe(verdicts.controls(cells, tallies))
    why = verdicts.diagnose(cells, tallies, found, facts, direct, generation=plan.generation)
    shares = verdicts.shares(cells, tallies)

Error rates, and why two stages: docs/decisions/0002-statistics.md.
"""

from harness.verdicts.catalogue import CHECKS, Check
from harness.verdicts.checks import checks_of
from harness.verdicts.clients import MOST as MOST_CLIENTS
from harness.verdicts.clients import clients
from harness.verdicts.controls import controls
from harness.verdicts.diagnose import diagnose
from harness.verdicts.drills import Turnover, course
from harness.verdicts.drills import judge as judge_drill
from harness.verdicts.expectations import Cell, CellKey, Depth, Expected, Way, expectations
from harness.verdicts.families import Half, closed, facts_of, halves
from harness.verdicts.foreign import diagnose_promised
from harness.verdicts.healthchecks import health_checks
from harness.verdicts.inside import inside
from harness.verdicts.judge import judge
from harness.verdicts.large import large
from harness.verdicts.planstate import judge_plan
from harness.verdicts.promised import promised
from harness.verdicts.selection import EVERYTHING, Selection, name_of, names_of
from harness.verdicts.skips import clients_left_out, left_out, one_client, sampled
from harness.verdicts.stages import Levels, next_round
from harness.verdicts.tally import Counts, Need, Tallies, Tally, add, shares
from harness.verdicts.turns import judge_turns, out_of_turn, turns_jobs

__all__ = [
    "CHECKS",
    "EVERYTHING",
    "MOST_CLIENTS",
    "Cell",
    "CellKey",
    "Check",
    "Counts",
    "Depth",
    "Expected",
    "Half",
    "Levels",
    "Need",
    "Selection",
    "Tallies",
    "Tally",
    "Turnover",
    "Way",
    "add",
    "checks_of",
    "clients",
    "clients_left_out",
    "closed",
    "controls",
    "course",
    "diagnose",
    "diagnose_promised",
    "expectations",
    "facts_of",
    "halves",
    "health_checks",
    "inside",
    "judge",
    "judge_drill",
    "judge_plan",
    "judge_turns",
    "large",
    "left_out",
    "name_of",
    "names_of",
    "next_round",
    "one_client",
    "out_of_turn",
    "promised",
    "sampled",
    "shares",
    "turns_jobs",
]
