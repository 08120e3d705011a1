"""Planted bugs: one rule of the library switched off, to see that the simulation can fail.

A name says what is wrong; the edit says where. Each must be seen by one of the first seeds. An edit whose text does not
stand in its file exactly once is an error, so that a plant never goes silent when the library changes.
"""

from __future__ import annotations

from collections.abc import Iterable

from simulation.campaign import run_seeds
from simulation.library import Edit
from simulation.world import Outcome

CLOCK, WAKING, READY, UNIQUE = "12_clock.lua", "20_waking.lua", "22_ready.lua", "24_unique.lua"
FOLLOWERS = "25_followers.lua"
WAITERS, ENDINGS, CONSUMERS, COMMANDS = (
    "26_waiters.lua",
    "28_endings.lua",
    "30_consumers.lua",
    "32_commands.lua",
)
SETTLE, ENQUEUE, ROWS, TAKE = "40_settle.lua", "50_enqueue.lua", "52_rows.lua", "54_take.lua"
STRUCK, EXPIRY = "38_struck.lua", "44_expiry.lua"
CONTROL, DEAD, PURGE = "60_control.lua", "62_dead.lua", "64_purge.lua"

SHORT = 30_000  # ms of virtual time in which producers produce

PLANTS: dict[str, Edit] = {
    # time and ids
    "leases on the wall clock": Edit(CLOCK, "m[2] + math.max(0, step) or now", "now or now"),
    "lease clock is a maximum": Edit(CLOCK, "m[2] + math.max(0, step) or now", "math.max(m[2], now) or now"),
    "no grace after a step": Edit(
        CLOCK, "c.graced = c.new_epoch or c.step > c.lease / 2", "c.graced = c.new_epoch"
    ),
    "ids on the wall clock": Edit(
        CLOCK,
        "if c.mono > c.ms then c.ms, c.seq = c.mono, 0 end",
        "if c.now > c.ms then c.ms, c.seq = c.now, 0 end",
    ),
    # epochs
    "a new epoch is not noticed": Edit(
        CLOCK, "if c.old_epoch and c.old_epoch ~= c.epoch then", "if false then"
    ),
    "ids do not jump in a new epoch": Edit(
        CLOCK, "c.ms, c.seq = math.max(c.ms + 1, c.mono + sq.JUMP), 0", "c.ms = c.ms + 0"
    ),
    "fences do not jump in a new epoch": Edit(
        CLOCK, "math.max(c.fence, (c.now - c.step) * 1000) + sq.JUMP * 1000, true", "c.fence, true"
    ),
    "clean through epochs": Edit(
        CONSUMERS, "clean = state == 'clean' and epoch == c.epoch", "clean = state == 'clean'"
    ),
    # producers
    "no producer check": Edit(
        ENQUEUE, "if producer ~= '-' then\n    local answer", "if false then\n    local answer"
    ),
    "one sequence for all channels": Edit(ENQUEUE, "sq.text(args[3], 'channel', 8)", "'0'"),
    "an older call is executed": Edit(ENQUEUE, "if last > seq then", "if false then"),
    "a repeat answers without its conflicts": Edit(ENQUEUE, "return {runs, found}", "return {runs, {}}"),
    # ownership
    "generations off": Edit(CONSUMERS, "if generation < me.generation then", "if false then"),
    "a giver is not revoked": Edit(
        CONSUMERS,
        "if me.state == 'unknown' then return 0 end\n  sq.revoke(c, me)",
        "if me.state == 'unknown' then return 0 end",
    ),
    "a release does not revoke": Edit(SETTLE, "sq.revoke(c, me)\n    sq.lose", "sq.lose"),
    "an unknown consumer counts as clean": Edit(
        CONSUMERS,
        "{id = id, state = 'unknown', generation = 0, clean = false}",
        "{id = id, state = 'clean', epoch = c.epoch, generation = 0, clean = true}",
    ),
    "a revoked consumer's completions are unchecked": Edit(
        SETTLE, "if not me.clean and sq.owner(c, one.level, entry) ~= me.id then", "if false then"
    ),
    "a revoked consumer completes in bulk": Edit(
        SETTLE,
        "if me.clean and not awaited then return one.entries, one.jobs end",
        "if not awaited then return one.entries, one.jobs end",
    ),
    "outcomes are unchecked": Edit(
        SETTLE, "if sq.owner(c, level, entry) ~= me.id then return refuse(report, level, entry) end", ""
    ),
    "taken by one recovered in the same call": Edit(
        TAKE, "if sq.recover_one(c) == me.id then me = sq.consumer(c, me.id) end", "sq.recover_one(c)"
    ),
    "taken by a consumer that is not clean": Edit(
        TAKE, "if me.clean and not c.paused and not c.yields then", "if not c.paused then"
    ),
    "DELCONSUMER with deliveries left": Edit(CONSUMERS, "if moved >= sq.GIVE then", "if false then"),
    "a consumer that is emptied leaves the group": Edit(
        CONSUMERS,
        "for level in string.gmatch(c.levels, '%w') do redis.pcall('XGROUP', 'DELCONSUMER', sq.stream(c, level), sq.GROUP, id) end",
        "",
    ),
    "adopt forgets the generation": Edit(TAKE, "me.generation = generation", ""),
    "the fence stands still": Edit(
        CLOCK, "math.max(c.fence + 1, c.now * 1000), true", "math.max(c.fence, c.now * 1000), true"
    ),
    # leases and recovery
    "leases never end": Edit(CONSUMERS, "c.mono >= c.grace and sq.num(c.mono - 1) or '0'", "'0'"),
    "an emptied consumer waits for grace": Edit(
        CONSUMERS, "redis.call('ZADD', c.anchor .. ':alive', move == lose_after_lease and -1 or 0, id)", ""
    ),
    "lost without TIME 0": Edit(
        CONSUMERS, "'lost', 0, entry, 'TIME', 0, 'JUSTID'", "'lost', 0, entry, 'JUSTID'"
    ),
    "the lost head is not moved on": Edit(
        TAKE, "  sq.renew_lost(c, level)", "  redis.call('HDEL', c.anchor .. ':heads', 'lost:' .. level)"
    ),
    "the lost head is not moved back": Edit(
        CONSUMERS, "if not first or sq.before(entry, first) then", "if not first then"
    ),
    "entry ids compared as text": Edit(
        "10_arguments.lua", "return x < u or (x == u and y < v)", "return a < b"
    ),
    "renew revives the gone": Edit(
        CONSUMERS,
        "if ends and tonumber(ends) > 0 then redis.call('ZADD', c.anchor .. ':alive', 'XX', c.mono + lease, args[i]) end",
        "redis.call('ZADD', c.anchor .. ':alive', c.mono + lease, args[i])",
    ),
    "renew does not recover": Edit(
        CONSUMERS, "  sq.recover_one(c)\n  sq.promote_due(c)", "  sq.promote_due(c)"
    ),
    # priority
    "strict priority": Edit(READY, "- (tonumber(level) or 9) * sq.AGE", "- (tonumber(level) or 9) * 1e9"),
    "the head is not renewed": Edit(
        TAKE, "if #entries == n then sq.renew_head(c, level, entries[n][1])", "if false then"
    ),
    # waking
    "no ring on enqueue": Edit(ENQUEUE, "if next(c.adding) and not c.paused then sq.ring(c, 1) end", ""),
    "no ring on resume": Edit(CONTROL, "c.paused = false\n  sq.ring(c, 1)", "c.paused = false"),
    "no ring for work left": Edit(TAKE, "if left then sq.ring", "if false then sq.ring"),
    "no ring for an earlier due time": Edit(ENQUEUE, "if c.added_due then sq.watch_over(c) end", ""),
    "a full take leaves due times unwatched": Edit(
        WAKING,
        "  if sq.watchman(c) == consumer then sq.unwatch(c) end\n  sq.watch_over(c)",
        "  if sq.watchman(c) == consumer then sq.unwatch(c) end",
    ),
    "a watchman keeps his post when full": Edit(
        WAKING, "  if sq.watchman(c) == consumer then sq.unwatch(c) end\n", ""
    ),
    "the cap is twice as long": Edit(WAKING, "math.max(sq.CAP,", "math.max(2 * sq.CAP,"),
    "a dead watchman keeps his post": Edit(
        WAKING, "  if sq.watchman(c) == consumer then\n    sq.unwatch(c)\n    relied = 1\n  end\n", ""
    ),
    "a taker stays in the registry": Edit(TAKE, "  redis.call('ZREM', c.anchor .. ':idle', me.id)\n", ""),
    # crash counting
    "every death convicts": Edit(CONSUMERS, "if not alone then return sq.suspect(c, level, entry) end", ""),
    "deaths never convict": Edit(CONSUMERS, "if deaths >= sq.DEATHS then", "if false then"),
    "a dead letter does not say how its process died": Edit(
        CONSUMERS, "how == '' and sentence or sentence .. '; the last time: ' .. how", "sentence"
    ),
    "two deaths convict": Edit("prelude.lua", "DEATHS = 3,", "DEATHS = 2,"),
    "suspects run among others": Edit(
        CONSUMERS,
        "if not alone then return sq.suspect(c, level, entry) end",
        "if not alone then return sq.lose(c, level, entry) end",
    ),
    "two lost leases convict": Edit("prelude.lua", "LOSSES = 10,", "LOSSES = 2,"),
    "lost leases never convict": Edit("prelude.lua", "LOSSES = 10,", "LOSSES = 1000000,"),
    "marks outlive their delivery": Edit(ENDINGS, "if c.marks > 0 then", "if false then"),
    "suspects are not counted down": Edit(TAKE, "      sq.switch(c, 'suspects', -1)\n", ""),
    # settling
    "count what was asked": Edit(
        SETTLE, "sq.count(c, 'completed', live)", "sq.count(c, 'completed', #one.entries)"
    ),
    "acknowledged and not deleted": Edit(
        SETTLE,
        "if live == #entries then redis.call('XDEL', stream, unpack(entries))",
        "if live == #entries then",
    ),
    "a record outlives its job": Edit(
        ENDINGS, "  else\n    redis.call('UNLINK', key)\n  end\n  if r[6]", "  end\n  if r[6]"
    ),
    "a retry keeps its entry": Edit(
        SETTLE,
        "  settlers[outcome](c, job, one.options)\n  sq.remove(c, level, entry)",
        "  settlers[outcome](c, job, one.options)",
    ),
    "a snooze spends an attempt": Edit(
        SETTLE,
        "redis.call('HSET', sq.record(c, job), 'reason', o.reason, 'error', o.error)\n  again(c, job, 'retrying', o.delay)",
        "redis.call('HINCRBY', sq.record(c, job), 'attempt', 1)\n  again(c, job, 'retrying', o.delay)",
    ),
    "delays are forgotten": Edit(SETTLE, "local due = c.now + delay", "local due = c.now"),
    "a cancelled job comes back": Edit(
        SETTLE, "return asked and 'cancelled' or one.outcome", "return one.outcome"
    ),
    # waiting for results
    "an awaited completion is not asked for": Edit(
        SETTLE, "elseif awaited and awaited[entry] and", "elseif false and"
    ),
    "nobody is told of dead jobs": Edit(
        ENDINGS, "sq.tell_waiters(c, job, 'dead',", "local function nobody() end\n  nobody(c, job, 'dead',"
    ),
    "waiters are told twice": Edit(
        WAITERS,
        "  redis.call('HDEL', c.anchor .. ':waiters', job)\n  sq.switch(c, 'waiters', -1)\nend",
        "end",
    ),
    "a repeated wait counts twice": Edit(
        WAITERS, "not string.find(' ' .. keys .. ' ', ' ' .. key .. ' ', 1, true)", "true"
    ),
    # unique keys: later calls, and followers
    "a follower stays behind": Edit(
        ENDINGS, "  if r[5] then sq.release(c, r[5]) end\n  sq.count", "  sq.count"
    ),
    "a follower of a dead job stays behind": Edit(
        ENDINGS, "  if r[4] then sq.release(c, r[4]) end\n  sq.remember", "  sq.remember"
    ),
    "a follower runs beside the one before it": Edit(FOLLOWERS, "  return nil, holder\n", "  return nil\n"),
    "a job has two followers": Edit(
        FOLLOWERS, "if follower then return revise(c, follower, job, false) end", ""
    ),
    "a follower that has ended is still named": Edit(
        FOLLOWERS,
        "if predecessor then redis.call('HDEL', sq.record(c, predecessor), 'follower') end",
        "",
    ),
    "a released follower holds no key": Edit(FOLLOWERS, "  sq.hold(c, r[1], id, r[2])\n", ""),
    "a running job is replaced": Edit(
        FOLLOWERS, "local WAITS = {delayed = true,", "local WAITS = {given = true, delayed = true,"
    ),
    "a debounced job is due as at first": Edit(
        FOLLOWERS,
        "if o.debounce then return debounced_due(c, id, o) end",
        "if o.debounce then return nil end",
    ),
    "the longest wait is forgotten": Edit(
        FOLLOWERS,
        "return o.longest and math.min(c.now + o.wait, first + o.longest) or c.now + o.wait",
        "return c.now + o.wait",
    ),
    "the longest wait begins anew": Edit(
        FOLLOWERS, "tonumber(redis.call('HGET', key, 'first') or c.now)", "c.now"
    ),
    "new arguments with the attempts of the old": Edit(
        FOLLOWERS, "'tags', 'parent', 'attempt', 'struck')", "'tags', 'parent', 'struck')"
    ),
    "new arguments with the tags of the old": Edit(
        FOLLOWERS, "  if r[1] then sq.forget_tags(c, id, r[1]) end\n", ""
    ),
    "the expiry of the old arguments": Edit(FOLLOWERS, "then replace_expiry(c, id, o, due) end", "then end"),
    "a replaced job keeps its old entry": Edit(FOLLOWERS, "    sq.leave_tomb(c, at)\n", ""),
    "a replaced job keeps its level": Edit(
        FOLLOWERS, "o.parts.priority and job.level or at.level", "at.level"
    ),
    "how long a key is held stays as it was": Edit(
        FOLLOWERS, "  if is_holder then sq.hold(c, o.unique, id, o.mode) end\n", ""
    ),
    # strikes
    "the jobs of a lifted strike stay": Edit(
        STRUCK, "redis.call('ZADD', c.anchor .. ':delayed', 'XX', c.now, job)", ""
    ),
    "a strike is not waited for": Edit(STRUCK, "math.min(ends, c.now + AGAIN, latest + 1)", "c.now"),
    "a struck job is not listed": Edit(STRUCK, "redis.call('RPUSH', c.anchor .. ':struck:' .. id, job)", ""),
    # unique keys, expiry, control
    "keys are never held": Edit(UNIQUE, "if not held then return nil end", "if true then return nil end"),
    "keys leak": Edit(ENDINGS, "  if r[1] then sq.free(c, r[1], job, 'done') end\n  if r[2]", "  if r[2]"),
    "a dead job keeps its key": Edit(
        ENDINGS, "  if r[1] then sq.free(c, r[1], job, 'done') end\n  if r[4]", "  if r[4]"
    ),
    "a key until start is kept until done": Edit(ROWS, "if r[6] == 'start' then", "if false then"),
    "anybody frees a key": Edit(
        UNIQUE,
        "if held == job .. ' ' .. at or (at == 'done' and held == job .. ' start') then",
        "if held then",
    ),
    "tags leak": Edit(ENDINGS, "  if r[2] then sq.forget_tags(c, job, r[2]) end\n", ""),
    "a deadline is kept by the first run only": Edit(
        EXPIRY,
        "tonumber(deadline or nil)\n  return expires",
        "not attempt and tonumber(deadline or nil) or nil\n  return expires",
    ),
    "expired jobs run": Edit(ROWS, "  if late then", "  if false then"),
    "tombstones are delivered": Edit(ROWS, "if cancel == 'gone' then", "if false then"),
    "a pause is not obeyed": Edit(
        TAKE, "if me.clean and not c.paused and not c.yields then", "if me.clean then"
    ),
    "no command for a running job": Edit(
        CONTROL, "  sq.command(c, at.owner, 'cancel ' .. at.level .. ' ' .. at.entry)\n", ""
    ),
    "commands outlive their consumer": Edit(CONSUMERS, "  sq.drop_commands(c, id)\n", ""),
    "renew is silent about commands": Edit(
        CONSUMERS, "sq.has_commands(c, args[i]) and 'command' or 'ok'", "'ok'"
    ),
    "a cancelled lost job stays first": Edit(
        CONTROL, "if at.owner == 'lost' then sq.renew_lost(c, at.level) else", "if at.owner ~= 'lost' then"
    ),
    "a retried dead job stays dead": Edit(DEAD, "  redis.call('ZREM', c.anchor .. ':dead', job)\n", ""),
    "attempts go on after a retry": Edit(
        DEAD, "'reason', 'died', 'attempt', 'parked'", "'reason', 'died', 'parked'"
    ),
    "a retry takes a key that is held": Edit(DEAD, "if holder and holder ~= job then", "if false then"),
    "purge forgets the counters": Edit(PURGE, "    sq.count(c, 'pending:' .. level, -1)\n", ""),
    "promotion forgets the counter": Edit(
        READY, "      sq.count(c, 'delayed', -1)\n    end\n    if r[2]", "    end\n    if r[2]"
    ),
}


def hunt(kind: str, plant: str, seeds: Iterable[int], duration: int = SHORT) -> Outcome | None:
    """The first outcome that shows the planted bug, or None when no seed shows it."""
    for outcome in run_seeds(kind, seeds, (PLANTS[plant],), duration):
        if outcome.violation:
            return outcome
    return None
