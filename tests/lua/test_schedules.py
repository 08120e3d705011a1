"""Schedules on the server: one job for each time, overlaps, releases, graces, and whose declarations hold."""

from __future__ import annotations

from typing import Any

import pytest

from shards import Shard

MINUTE = 60_000
JOB = ("5", "mail", "body")


def put(shard: Shard, name: str = "report", next_run: object = None, **fields: object) -> int:
    """Keep a schedule that fires next in a minute."""
    following = shard.now + MINUTE if next_run is None else next_run
    known = {"expression": "every minute", "task": "mail", "level": "5", "body": "b", **fields}
    source = known.pop("source", "api")
    pairs = [part for pair in known.items() for part in pair]
    found: int = shard.call("schedule_put", name, source, following, following, len(pairs), *pairs)
    return found


def fields(shard: Shard, name: str = "report") -> dict[str, str]:
    """What is kept of it."""
    kept = shard.client.hgetall(shard.key(f"schedule:{name}"))
    return {key.decode(): value.decode() for key, value in kept.items()}


def tick(
    shard: Shard, name: str = "report", fire: object = None, missed: object = "-", after: int = MINUTE
) -> list[str]:
    """Tick it as a worker would that has just read it."""
    kept = fields(shard, name)
    expected = kept.get("next_run_at", "-")
    following: object = "-" if expected == "-" else int(expected) + after
    moment = expected if fire is None else fire
    reply = shard.call(
        "schedule_tick", name, kept["revision"], expected, following, following, missed, moment, *JOB
    )
    return [part.decode() for part in reply]


def release(shard: Shard, name: str = "report") -> list[str]:
    """Tick the time that waits for the end of an earlier run."""
    kept = fields(shard, name)
    place = (kept["next_run_at"], kept["due_at"])
    reply = shard.call("schedule_tick", name, kept["revision"], place[0], *place, "-", kept["queued"], *JOB)
    return [part.decode() for part in reply]


def told(shard: Shard, consumer: str, n: int = 0) -> list[str]:
    """What a take tells its worker."""
    texts = [text.decode() for text in shard.call("take", consumer, 0, n, 0)[7]]
    return [text for text in texts if not text.startswith("again ")]


def job_of(shard: Shard, job: str) -> dict[str, str]:
    flat = shard.call("job", job)
    return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}


def finish(shard: Shard, consumer: str) -> None:
    """Run all that waits."""
    for level, row in shard.take(consumer, 10):
        shard.call("finish", consumer, 0, "done", level, row[0], 0)


def balanced(shard: Shard) -> bool:
    return bool(shard.call("conservation")[0] == 0)


def test_a_due_schedule_is_told_to_one_worker_and_after_two_seconds_to_another(shard: Shard) -> None:
    first, second = shard.register(), shard.register()
    put(shard)
    assert told(shard, first) == []
    shard.now += MINUTE
    assert told(shard, first) == ["tick report"]
    assert told(shard, second) == []
    shard.now += 2_000
    assert told(shard, second) == ["tick report"]


def test_a_sleeper_wakes_for_the_next_time_and_not_before(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, next_run=shard.now + 1_234)
    assert shard.call("take", consumer, 0, 1, 0)[4] == 1_234
    put(shard, "sooner", next_run=shard.now + 700)
    assert shard.call("take", consumer, 0, 1, 0)[4] == 700


def test_a_full_worker_is_told_when_to_come_where_nobody_sleeps(shard: Shard) -> None:
    full, sleeper = shard.register(), shard.register()
    put(shard, next_run=shard.now + 1_234)
    assert shard.call("take", full, 0, 0, 0)[7] == [b"again 1234"]
    shard.call("take", sleeper, 0, 1, 0)
    assert shard.call("take", full, 0, 0, 0)[7] == []
    put(shard, expression="every hour", next_run=shard.now + 60 * MINUTE)
    assert shard.call("take", sleeper, 0, 0, 0)[7] == []


def test_a_time_gets_one_job_however_often_it_is_ticked(shard: Shard) -> None:
    put(shard)
    kept, due = fields(shard), shard.now + MINUTE
    shard.now += MINUTE
    call = ["report", kept["revision"], due, due + MINUTE, due + MINUTE, "-", due, *JOB]
    replies = [shard.call("schedule_tick", *call) for _ in range(3)]
    assert [reply[0] for reply in replies] == [b"added", b"moved", b"moved"]
    job = job_of(shard, replies[0][1].decode())
    assert (job["schedule"], job["scheduled"], job["state"]) == ("report", str(due), "pending")
    assert int(fields(shard)["next_run_at"]) == due + MINUTE
    shard.client.hset(shard.key("schedule:report"), "next_run_at", due)
    assert shard.call("schedule_tick", *call)[0] == b"before"
    assert balanced(shard)


def test_a_tick_of_an_earlier_definition_changes_nothing(shard: Shard) -> None:
    put(shard)
    old = fields(shard)
    put(shard, body="other")
    reply = shard.call(
        "schedule_tick", "report", old["revision"], old["next_run_at"], "-", "-", "-", "1", *JOB
    )
    assert reply[0] == b"moved"


def test_a_definition_with_the_same_times_keeps_the_time_that_is_due(shard: Shard) -> None:
    put(shard)
    due = fields(shard)["next_run_at"]
    shard.now += MINUTE + 5
    assert put(shard, body="other") == 0
    assert (fields(shard)["next_run_at"], fields(shard)["body"]) == (due, "other")
    put(shard, expression="every hour", next_run=shard.now + 60 * MINUTE)
    assert int(fields(shard)["next_run_at"]) == shard.now + 60 * MINUTE


def test_a_new_definition_has_nothing_of_the_old_one_and_revives_one_that_is_over(shard: Shard) -> None:
    put(shard, grace=5, note="old", next_run="-")
    assert fields(shard)["over_at"]
    put(shard, expression="every hour")
    put(shard, expression="every hour")
    assert not {"over_at", "grace", "note"} & set(fields(shard))
    shard.call("schedule_remove", "report")
    assert shard.client.hget(shard.key("meta"), "schedules") == b"0"
    assert shard.client.exists(shard.key("schedules"), shard.key("fires:report")) == 0


@pytest.mark.parametrize(
    ("overlap", "outcome"),
    [("allow", "added"), ("skip", "skipped"), ("queue", "queued"), ("cancel", "added")],
)
def test_a_time_that_meets_a_waiting_run_does_what_the_policy_says(
    shard: Shard, overlap: str, outcome: str
) -> None:
    put(shard, overlap=overlap)
    first = tick(shard)[1]
    assert tick(shard)[0] == outcome
    cancelled = shard.call("explain", first)[0] == b"cancelled"
    assert cancelled is (overlap == "cancel")
    assert balanced(shard)


def test_a_queued_run_begins_when_the_one_before_has_ended_and_only_one_waits(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, overlap="queue")
    tick(shard)
    ((level, row),) = shard.take(consumer, 1)
    assert tick(shard)[0] == "queued"
    assert tick(shard) == ["skipped", fields(shard)["last_outcome"].removeprefix("skipped ")]
    assert release(shard)[0] == "queued", "the run before goes on"
    assert told(shard, consumer) == []
    shard.call("finish", consumer, 0, "done", level, row[0], 0)
    assert told(shard, consumer) == ["tick report"]
    assert release(shard)[0] == "added"
    assert "queued" not in fields(shard)
    assert balanced(shard)


def test_a_running_job_is_asked_to_stop_and_its_successor_waits_for_that(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, overlap="cancel")
    tick(shard)
    ((level, row),) = shard.take(consumer, 1)
    assert tick(shard)[0] == "queued"
    assert told(shard, consumer) == [f"cancel 5 {row[0].decode()}"]
    shard.call("finish", consumer, 0, "cancelled", level, row[0], 0)
    assert told(shard, consumer) == ["tick report"]
    assert release(shard)[0] == "added"
    assert balanced(shard)


def test_a_queued_run_waits_for_a_run_by_hand_too_and_nobody_is_told_before(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, overlap="queue")
    tick(shard)
    shard.call("schedule_fire", "report", 7, *JOB)
    (first, second) = shard.take(consumer, 2)
    tick(shard)
    shard.call("finish", consumer, 0, "done", first[0], first[1][0], 0)
    assert told(shard, consumer) == ["tick report"]
    assert release(shard)[0] == "queued"
    shard.now += 2_000
    assert told(shard, consumer) == []
    shard.call("finish", consumer, 0, "done", second[0], second[1][0], 0)
    assert told(shard, consumer) == ["tick report"]
    assert release(shard)[0] == "added"


def test_a_pause_forgets_the_run_that_waits(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, overlap="queue")
    tick(shard)
    tick(shard)
    shard.call("schedule_pause", "report", "")
    finish(shard, consumer)
    shard.call("schedule_resume", "report", shard.now + MINUTE, shard.now + MINUTE)
    assert told(shard, consumer) == []
    assert "queued" not in fields(shard)


def test_a_dead_run_that_is_retried_goes_on_again(shard: Shard) -> None:
    consumer = shard.register()
    put(shard)
    job = tick(shard)[1]
    ((level, row),) = shard.take(consumer, 1)
    shard.call("finish", consumer, 0, "dead", level, row[0], 2, "error", "E: x")
    shard.call("retry", job)
    assert tick(shard) == ["skipped", f"job {job} goes on"]
    finish(shard, consumer)
    assert tick(shard)[0] == "added"


def test_a_dead_run_releases_the_one_that_waits(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, overlap="queue")
    tick(shard)
    ((level, row),) = shard.take(consumer, 1)
    tick(shard)
    shard.call("finish", consumer, 0, "dead", level, row[0], 2, "error", "E: x")
    assert told(shard, consumer) == ["tick report"]


def test_a_paused_schedule_is_told_to_nobody_and_not_ticked(shard: Shard) -> None:
    consumer = shard.register()
    put(shard)
    shard.call("schedule_pause", "report", "holidays")
    shard.now += 10 * MINUTE
    assert told(shard, consumer) == []
    assert tick(shard)[0] == "moved"
    shard.call("schedule_resume", "report", shard.now + 1, shard.now + 1)
    shard.now += 1
    assert told(shard, consumer) == ["tick report"]
    assert "paused" not in fields(shard)


def test_a_schedule_that_is_over_stays_a_week_to_be_looked_at(shard: Shard) -> None:
    consumer = shard.register()
    put(shard)
    shard.now += MINUTE
    kept = fields(shard)
    reply = shard.call(
        "schedule_tick",
        "report",
        kept["revision"],
        kept["next_run_at"],
        "-",
        "-",
        "-",
        kept["next_run_at"],
        *JOB,
    )
    assert reply[0] == b"added"
    finish(shard, consumer)
    shard.now += 7 * 86_400_000 - 1
    assert told(shard, shard.register()) == []
    assert fields(shard)["over_at"]
    shard.now += 1
    assert told(shard, shard.register()) == []
    assert fields(shard) == {}
    assert shard.client.hget(shard.key("meta"), "schedules") == b"0"


def test_a_run_that_has_a_grace_is_looked_at_when_that_is_over(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, grace=5_000)
    shard.now += MINUTE
    job = tick(shard)[1]
    shard.now += 4_999
    assert told(shard, consumer) == []
    shard.now += 1
    assert told(shard, consumer) == ["tick report"]
    kept = fields(shard)
    assert (kept["check_job"], int(kept["check_at"])) == (job, shard.now)
    assert shard.call("schedule_checked", "report", kept["check_at"]) == 1
    assert shard.call("schedule_checked", "report", kept["check_at"]) == 0
    assert told(shard, consumer) == []


def test_a_run_is_watched_to_the_end_of_its_grace_though_others_follow(shard: Shard) -> None:
    put(shard, grace=90_000, overlap="allow")
    due = int(fields(shard)["next_run_at"])
    for _ in range(3):
        shard.now += MINUTE
        tick(shard)
    kept = fields(shard)
    assert (int(kept["check_at"]), int(kept["check_run"])) == (due + 90_000, due)


def test_a_missed_time_is_looked_at_at_once_when_its_grace_is_over(shard: Shard) -> None:
    consumer = shard.register()
    put(shard, grace=5_000)
    first = fields(shard)["next_run_at"]
    shard.now += 10 * MINUTE
    assert tick(shard, fire="-", missed=first, after=20 * MINUTE)[0] == "missed"
    assert told(shard, consumer) == ["tick report"]
    assert fields(shard)["check_why"] == "nobody ticked it in time"


def test_a_run_now_and_a_backfill_are_added_once_for_each_time(shard: Shard) -> None:
    put(shard, overlap="skip")
    outcomes = [shard.call("schedule_fire", "report", moment, *JOB)[0] for moment in (5, 6, 5)]
    assert outcomes == [b"added", b"added", b"before"]
    assert balanced(shard)


def test_a_thousand_times_are_remembered_by_when_they_got_their_jobs(shard: Shard) -> None:
    put(shard, overlap="allow")
    for moment in range(1_500, 0, -1):
        shard.call("schedule_fire", "report", moment, *JOB)
        shard.now += 1
    assert shard.client.zcard(shard.key("fires:report")) == 1_000
    assert shard.call("schedule_fire", "report", 1, *JOB)[0] == b"before"
    assert len(fields(shard)["open"].split()) == 16


def test_a_job_that_a_unique_key_stands_for_is_skipped(shard: Shard) -> None:
    put(shard)
    shard.enqueue("5:2", "mail", "x", "unique", "k")
    kept = fields(shard)
    due = kept["next_run_at"]
    reply = shard.call(
        "schedule_tick",
        "report",
        kept["revision"],
        due,
        "-",
        "-",
        "-",
        due,
        "5:2",
        "mail",
        "b",
        "unique",
        "k",
    )
    assert reply[0] == b"skipped"
    assert b"holds its unique key" in reply[1]
    assert balanced(shard)


def test_pages_of_the_list_have_every_schedule_once_and_no_payloads(shard: Shard) -> None:
    for number in range(7):
        put(shard, f"s{number}", next_run=shard.now + number)
    seen, start = [], "-"
    while start:
        _, start, *rows = shard.call("schedule_list", start, 3)
        seen += [row[0].decode() for row in rows]
        assert all(b"body" not in row for row in rows)
    assert seen == [f"s{number}" for number in range(7)]


class Release:
    """Workers with one version of an app's declarations."""

    def __init__(self, shard: Shard, digest: str, *names: str) -> None:
        self.shard, self.digest, self.names = shard, digest, names

    def start(self) -> str:
        verdict: str = self.shard.call("schedule_offer", "shop", self.digest)[0].decode()
        if verdict == "apply":
            for name in self.names:
                put(self.shard, name, source="code", app="shop")
            self.shard.call("schedule_keep", "shop", self.digest, *self.names)
        return verdict


def names(shard: Shard) -> list[Any]:
    return sorted(name.decode() for name in shard.client.zrange(shard.key("schedules"), 0, -1))


def test_two_versions_of_the_code_do_not_undo_each_others_schedules(shard: Shard) -> None:
    put(shard, "by_hand")
    old, new = Release(shard, "one", "daily", "weekly"), Release(shard, "two", "daily", "monthly")
    assert [old.start(), old.start()] == ["apply", "current"]
    assert new.start() == "apply"
    for _ in range(5):
        shard.now += 60_000
        assert [old.start(), new.start()] == ["older", "current"]
    assert names(shard) == ["by_hand", "daily", "monthly"]


def test_a_rollback_holds_when_the_newer_version_is_gone(shard: Shard) -> None:
    old, new = Release(shard, "one", "daily"), Release(shard, "two", "monthly")
    old.start(), new.start()
    shard.now += 89_999
    assert old.start() == "older"
    shard.now += 1
    assert old.start() == "apply"
    assert names(shard) == ["daily"]
    assert new.start() == "older", "the same holds the other way round"


def test_an_app_without_schedules_leaves_no_trace_unless_it_had_some(shard: Shard) -> None:
    without = Release(shard, "none")
    assert without.start() == "nothing"
    assert shard.client.exists(shard.key("releases")) == 0
    Release(shard, "one", "daily").start()
    shard.now += 90_000
    assert without.start() == "apply"
    assert names(shard) == []
