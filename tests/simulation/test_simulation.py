"""The short form of the simulation: one world of each kind on both servers, and a few planted bugs that must be seen.

The long form is ``PYTHONPATH=tests python -m simulation`` (see the package).
"""

import pytest

from servers import KINDS
from simulation.campaign import run_seeds
from simulation.library import source
from simulation.plants import PLANTS, SHORT, hunt
from simulation.scenario import KINDS as WEATHERS
from simulation.world import Outcome

QUICKLY_SEEN = (
    "no producer check",
    "generations off",
    "the lost head is not moved back",
    "no ring for work left",
    "two lost leases convict",
    "keys leak",
    "a follower stays behind",
    "a replaced job keeps its old entry",
)


def only(kind: str, seed: int) -> Outcome:
    """The outcome of one short world."""
    (outcome,) = run_seeds(kind, [seed], duration=SHORT)
    return outcome


@pytest.mark.parametrize("seed", range(len(WEATHERS)), ids=[str(weather) for weather in WEATHERS])
def test_no_rule_is_broken_and_every_job_ends_once_and_alike_on_both_servers(seed: int) -> None:
    outcomes = [only(kind, seed) for kind in KINDS]
    assert [outcome.violation for outcome in outcomes] == [""] * len(KINDS)
    assert len({outcome.digest for outcome in outcomes}) == 1
    assert len({outcome.server_digest for outcome in outcomes}) == 1


@pytest.mark.parametrize("plant", QUICKLY_SEEN)
def test_a_rule_that_is_switched_off_is_seen(plant: str) -> None:
    assert hunt("valkey", plant, range(18)) is not None


def test_every_planted_bug_still_has_its_place_in_the_library() -> None:
    assert all(source(edit) for edit in PLANTS.values())
