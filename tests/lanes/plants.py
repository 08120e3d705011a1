"""Bugs planted into the files of lanes, each of which must be seen by some seed."""

from __future__ import annotations

from simulation.library import Edit

__all__ = ["PLANTS"]

LIMITS, LANES, RING, ADMISSION = "36_limits.lua", "37_lanes.lua", "38_ring.lua", "39_admission.lua"
SETTLE = "40_settle.lua"

FREED = "  if #over > 0 then redis.call('HDEL', c.anchor .. ':laned', unpack(over)) end\n"
ALL_ASKED = "  for _, limit in ipairs(lane.limits) do k = sq.room_for(c, limit, k) end"
FIRST_ASKED = "  if lane.limits[1] then k = sq.room_for(c, lane.limits[1], k) end"

PLANTS: dict[str, Edit] = {
    "the burst has no end": Edit(LIMITS, ", rule.burst)\n  limit.at = c.mono", ", 1e9)\n  limit.at = c.mono"),
    "a bucket drips twice": Edit(
        LIMITS, "(0, c.mono - limit.at) * rule.rate", "(0, c.mono - limit.at) * 2 * rule.rate"
    ),
    "costs are not charged": Edit(
        ADMISSION, "sq.charge(c, limit, 1, sq.price(lane, j, cost))", "sq.charge(c, limit, 1, 1)"
    ),
    "slots are not counted": Edit(
        LIMITS, "then limit.used = limit.used + n end", "then limit.used = limit.used end"
    ),
    "slots are not freed": Edit(
        LIMITS, "limit.used = math.max(limit.used - 1, 0)", "limit.used = math.max(limit.used, 0)"
    ),
    "a lost delivery frees its slot": Edit(
        "30_consumers.lua",
        "'lost', 0, entry, 'TIME', 0, 'JUSTID')\n",
        "'lost', 0, entry, 'TIME', 0, 'JUSTID')\n  if level == sq.LANES then local row = sq.row(c, level, entry) if row then "
        "sq.end_admissions(c, {entry}, {(sq.job_of(level, entry, row))}) end end\n",
    ),
    "only the first limit is asked": Edit(ADMISSION, ALL_ASKED, FIRST_ASKED),
    "no timer for a bucket": Edit(
        RING, "  if at then redis.call('ZADD'", "  if false then redis.call('ZADD'"
    ),
    "an end of a job wakes no room": Edit(
        LIMITS, "  sq.change(c, limit)\n  sq.wake_rooms(c, limit)\nend\n", "  sq.change(c, limit)\nend\n"
    ),
    "timers are not looked at": Edit("22_ready.lua", "  if c.flow > 0 then sq.open_due(c) end\n", ""),
    "a put back job goes to the end": Edit(LANES, "if not is_put and sq.before(", "if false and sq.before("),
    "deep lanes are turned round": Edit(
        LANES, "sq.many('RPUSH', tail_of(c, lane)", "sq.many('LPUSH', tail_of(c, lane)"
    ),
    "a lane that empties stays in its room": Edit(
        ADMISSION,
        "  if sq.is_empty(c, lane) then place.gone[#place.gone + 1] = lane.id\n",
        "  if sq.is_empty(c, lane) then\n",
    ),
    "an emptied lane is not dropped": Edit(
        LANES, "  if #gone > 0 then sq.many('HDEL', c.anchor .. ':lanes', gone) end\n", ""
    ),
    "order is not kept for retries": Edit(
        SETTLE, "if c.flow > 0 and back_into_lane(c, job, delay, is_ordered) then return end", ""
    ),
    "whoever comes may pass": Edit(
        ADMISSION, "    local queue = n == 0 and first_queue(lane, from)", "    local queue = nil"
    ),
    "dropped items are given": Edit(
        ADMISSION,
        "if c.dropped > 0 and redis.call('HDEL', c.anchor .. ':dropped', job) == 1 then",
        "if false then",
    ),
    "a cheaper head is not looked at": Edit(
        LANES, " elseif items[1] == item then sq.look_again(c, lane) end", " end"
    ),
    "nobody watches for timers": Edit(
        "20_waking.lua", "local opens = c.flow > 0 and", "local opens = false and"
    ),
    "settled lane jobs stay": Edit(ADMISSION, FREED, ""),
}
