"""Planted bugs: the rules by which a time has one job, switched off. Each must be seen."""

from __future__ import annotations

from simulation.library import Edit

TICKS = "68_ticks.lua"
_NOT_EXPECTED = Edit(TICKS, "or (r.next_run_at or '-') ~= expected then", "then")
_FORGETS = Edit(TICKS, "redis.call('ZADD', fires, c.now, fire)", "")

PLANTS: dict[str, tuple[Edit, ...]] = {
    "a tick counts wherever the schedule stands": (_NOT_EXPECTED, _FORGETS),
    "a worker that was told of a schedule has it for ever": (Edit(TICKS, "CLAIM = 2000 ", "CLAIM = 9e12 "),),
    "a tick moves on without a job": (
        Edit(
            TICKS,
            "if fire ~= '-' then outcome, said = run_beside",
            "if fire == '-' then outcome, said = run_beside",
        ),
    ),
}
