"""A hypothesis state machine over unique keys: calls of all rules for a few keys, workers that end their jobs in every way or are
killed, and a model beside it that knows which job stands for which call, what it will run with, and when."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from servers import Server
from streamq.config import Config
from streamq.engines.base import Engine
from streamq.engines.factory import open_engine
from streamq.errors import UniqueConflict
from streamq.protocol.consume import handed_out, settle
from streamq.protocol.enqueue import Enqueued, NewJob
from streamq.queue import Queue, follow

LEASE = 86_400_000
WINDOW = 4_000
ENDED = {"done": "completed", "dead": "dead", "cancelled": "cancelled", "expired": "expired"}


@dataclass
class Job:
    """What the model knows of a job. ``where`` is waiting (for its time, or to be taken), active, following, or its end."""

    id: str
    key: str
    body: str
    until: str
    due: int
    where: str = "waiting"
    follows: str = ""
    begun: bool = False  # since it was put in, replaced, or retried from the dead letters
    first: int | None = None
    window: int = 0  # until when a window that it began lasts


class UniqueMachine(RuleBasedStateMachine):
    """Jobs by id; the server is asked for the same after every step."""

    engine: Engine

    @initialize()
    def begin(self) -> None:
        self.engine.command("FLUSHDB")
        self.queue = Queue("mail", now=1_800_000_000_000)
        self.jobs: dict[str, Job] = {}
        self.places: dict[str, tuple[str, str]] = {}
        self.calls = 0
        self.hire()

    def hire(self) -> None:
        self.consumer = self.engine.run(self.queue.register(LEASE)).consumer

    # -- the model -----------------------------------------------------------------------------------------------

    def holder(self, key: str) -> Job | None:
        for job in self.jobs.values():
            if job.key == key and (job.window > self.queue.now if job.until == "window" else self.holds(job)):
                return job
        return None

    def holds(self, job: Job) -> bool:
        return job.where in {"waiting", "active"} and (job.until == "done" or not job.begun)

    def follower(self, job: Job) -> Job | None:
        return next((one for one in self.jobs.values() if one.follows == job.id), None)

    def end(self, job: Job, where: str) -> None:
        if job.where == "waiting" and where == "waiting":
            return
        job.where, job.follows = where, ""
        if where != "waiting" and (follower := self.follower(job)):
            follower.where, follower.follows = "waiting", ""

    def open(self, *wheres: str) -> list[Job]:
        return [job for job in self.jobs.values() if job.where in wheres]

    # -- calls ---------------------------------------------------------------------------------------------------

    def push(self, options: tuple[str | int, ...]) -> Enqueued | None:
        """Put one job in, and say the same call once more. None when it was refused."""
        self.calls += 1
        new = NewJob("task", f"call {self.calls}".encode(), 5, options)
        call = self.queue.push([new], producer="p", channel=1, seq=self.calls)
        try:
            added = self.engine.run(call)
        except UniqueConflict:
            return None
        assert self.engine.run(call) == added, "a repeated call answered something else"
        return added

    def accept(
        self, added: Enqueued | None, key: str, until: str, due: int, holder: Job | None = None
    ) -> Job:
        assert added is not None
        assert not added.existing
        (job_id,) = added.ids
        assert job_id not in self.jobs
        follows = holder.id if holder else ""
        where = "following" if holder else "waiting"
        job = self.jobs[job_id] = Job(job_id, key, f"call {self.calls}", until, due, where, follows)
        return job

    @rule(key=st.sampled_from("ab"), until=st.sampled_from(["done", "start"]), reject=st.booleans())
    def call_unique(self, key: str, until: str, reject: bool) -> None:
        holder = self.holder(key)
        added = self.push(("unique", key, "until", until, "on_conflict", "reject" if reject else "existing"))
        if holder is None:
            self.accept(added, key, until, 0)
        elif reject:
            assert added is None
        else:
            assert added is not None
            assert added.existing == {0: holder.id}

    @rule()
    def call_throttled(self) -> None:
        holder = self.holder("w")
        added = self.push(("unique", "w", "until", WINDOW))
        if holder is None:
            self.accept(added, "w", "window", 0).window = self.queue.now + WINDOW
        else:
            assert added is not None
            assert added.existing == {0: holder.id}

    @rule(key=st.sampled_from("ab"), delay=st.sampled_from([None, None, 0, 700]))
    def call_latest(self, key: str, delay: int | None) -> None:
        options = ("unique", key, "on_conflict", "latest", *(() if delay is None else ("delay", delay)))
        due = None if delay is None else self.queue.now + delay
        self.replace(key, self.push(options), "done", due)

    @rule(key=st.sampled_from("ab"), parts=st.sampled_from(["", "arguments", "time", "arguments,time"]))
    def call_replace(self, key: str, parts: str) -> None:
        holder = self.holder(key)
        added = self.push(("unique", key, "on_conflict", "replace", *(("replace", parts) if parts else ())))
        if holder and holder.where == "active" and not self.follower(holder):
            assert added is not None
            assert added.existing == {0: holder.id}
            return
        due = self.queue.now if "time" in parts else None
        self.replace(key, added, "done", due, arguments=parts != "time")

    @rule(
        key=st.sampled_from("ab"), wait=st.sampled_from([300, 1_000]), longest=st.sampled_from([None, 1_500])
    )
    def call_debounced(self, key: str, wait: int, longest: int | None) -> None:
        holder, options = self.holder(key), () if longest is None else ("longest", longest)
        standing = holder and (self.follower(holder) or (holder if holder.where == "waiting" else None))
        first = (standing and standing.first) or self.queue.now
        due = self.queue.now + wait
        due = due if longest is None else min(due, first + longest)
        added = self.push(("unique", key, "debounce", wait, *options))
        self.replace(key, added, "start", due).first = first

    def replace(
        self, key: str, added: Enqueued | None, until: str, due: int | None, *, arguments: bool = True
    ) -> Job:
        """What a call does that replaces the job that waits, or follows the one that runs."""
        assert added is not None
        holder = self.holder(key)
        standing = holder and (self.follower(holder) or (holder if holder.where == "waiting" else None))
        if not standing:
            return self.accept(added, key, until, due or 0, holder)
        assert added.existing == {0: standing.id}
        standing.until, standing.begun = until, False
        standing.due = standing.due if due is None else due
        standing.body = f"call {self.calls}" if arguments else standing.body
        return standing

    # -- workers -------------------------------------------------------------------------------------------------

    @rule()
    def take(self) -> None:
        """All that is due is given, and nothing else; with what its last call said."""
        due = {job.id: job.body for job in self.open("waiting") if job.due <= self.queue.now}
        taken = {}
        for level, rows in handed_out(self.engine.run(self.queue.pop(self.consumer, 100)).groups):
            for entry, _, value in rows:
                taken[value[0].decode()] = value[2].decode()
                self.places[value[0].decode()] = level.decode(), entry.decode()
        assert taken == due
        for job_id in taken:
            self.jobs[job_id].where, self.jobs[job_id].begun = "active", True

    @precondition(lambda self: self.open("active"))
    @rule(
        data=st.data(),
        outcome=st.sampled_from(["done", "done", "dead", "cancelled", "expired", "retry", "snooze"]),
    )
    def settle(self, data: st.DataObject, outcome: str) -> None:
        job = data.draw(st.sampled_from(self.open("active")))
        pairs = ("delay", 600) if outcome in {"retry", "snooze"} else ()
        settlement = settle(outcome, *self.places[job.id], pairs)
        assert self.engine.run(self.queue.settle(self.consumer, settlement)).refused == []
        self.end(job, ENDED.get(outcome, "waiting"))
        job.due = self.queue.now + 600

    @precondition(lambda self: self.open("active"))
    @rule()
    def kill(self) -> None:
        """What ran is given again, and nothing that follows it overtakes it."""
        running = self.open("active")
        assert self.engine.run(self.queue.abandon(self.consumer)) == len(running)
        self.hire()
        given = handed_out(self.engine.run(self.queue.pop(self.consumer, len(running))).groups)
        rows = [(level.decode(), row) for level, rows in given for row in rows]
        assert {row[2][0].decode() for _, row in rows} == {job.id for job in running}
        for level, row in rows:
            self.places[row[2][0].decode()] = level, row[0].decode()

    # -- operators and time --------------------------------------------------------------------------------------

    @precondition(lambda self: self.open("waiting", "following"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.open("waiting", "following")))
        assert self.engine.run(self.queue.cancel(job.id)) == "CANCELLED"
        self.end(job, "cancelled")

    @precondition(lambda self: self.open("following"))
    @rule()
    def purge_followers(self) -> None:
        followers = self.open("following")
        assert follow(self.engine, self.queue.purge("following")) == len(followers)
        for job in followers:
            self.end(job, "cancelled")

    @precondition(lambda self: self.open("dead"))
    @rule(data=st.data())
    def retry_dead(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.open("dead")))
        holder = self.holder(job.key)
        try:
            assert self.engine.run(self.queue.retry(job.id))
        except UniqueConflict:
            assert holder not in (None, job)
            return
        assert holder in (None, job)
        job.where, job.due, job.begun, job.first = "waiting", 0, False, None
        job.window = self.queue.now + WINDOW

    @rule(ms=st.sampled_from([1, 299, 300, 700, 1_000]))
    def pass_time(self, ms: int) -> None:
        self.queue.now += ms

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def every_job_is_in_one_place_and_says_where(self) -> None:
        balance = self.engine.run(self.queue.conservation())
        assert balance.difference == 0, balance.parts
        assert balance.parts["enqueued"] == len(self.jobs)
        assert balance.parts["waiting"] == len(self.open("following"))
        for job in self.open("waiting", "active", "following"):
            found = self.engine.run(self.queue.job(job.id))
            assert (found["body"], found["until"] == job.until or job.until == "window") == (job.body, True)
            assert found.get("follows", "") == job.follows
            sentences = "\n".join(self.engine.run(self.queue.explain(job.id)))
            assert (f"follows mail-{job.follows}, which is " in sentences) is bool(job.follows)

    @invariant()
    def a_key_is_held_by_the_job_that_must_hold_it(self) -> None:
        for key in "abw":
            held: bytes | None = self.engine.command("GET", f"sq:{{mail}}:unique:{key}")
            holder = self.holder(key)
            if key != "w" or holder:
                assert (held or b" ").decode().split(" ")[0] == (holder.id if holder else "")

    @invariant()
    def no_two_jobs_of_a_key_run_at_once_while_it_is_held_to_the_end(self) -> None:
        for key in "ab":
            running = [job for job in self.open("active") if job.key == key and job.until == "done"]
            assert len(running) <= 1


@pytest.mark.timeout(300)
def test_any_sequence_of_calls_and_ends_keeps_every_key_with_one_job_and_loses_no_follower(
    server: Server,
) -> None:
    engine = open_engine(Config.load(url=server.url))
    machine = type("Machine", (UniqueMachine,), {"engine": engine})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        engine.close()
