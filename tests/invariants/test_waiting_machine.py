"""A hypothesis state machine over jobs that go in steps, sleep and wait for signals, on a real server with the test's time.

Each job has a program. A worker runs it from the start at every delivery, with what the journal says; it can be killed
between any two calls. A model beside it knows what was noted, sent and decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
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
from simulation.library import Edit, source
from streamq.config import Config
from streamq.engines.base import Engine
from streamq.engines.factory import open_engine
from streamq.errors import JobNotFound, StreamqError, WrongState
from streamq.protocol.consume import RECORD, handed_out, settle
from streamq.protocol.enqueue import NewJob
from streamq.protocol.journal import Ask, Delivery, asked, await_, journal, recall
from streamq.queue import Queue

LEASE, LIMIT = 60_000, 5_000
JOURNAL, SIGNALS = "46_journal.lua", "47_signals.lua"
STEP, SIGNAL, SLEEP = "step", "signal", "sleep"
PROGRAMS = st.lists(st.sampled_from([STEP, SIGNAL, SIGNAL, SLEEP]), min_size=1, max_size=4)


@dataclass
class Story:
    """What is known of a job: its program, the steps that were noted, what was sent, and how each wait ended."""

    program: list[str]
    noted: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, tuple[str, bytes | None]] = field(default_factory=dict)
    ran: list[int] = field(default_factory=list)
    end: str | None = None


@dataclass
class Run:
    """A delivery: the next line of the program, and what the journal said at the start."""

    job: str
    delivery: Delivery
    entries: dict[str, bytes] | None = None
    line: int = 0


class WaitingMachine(RuleBasedStateMachine):
    engine: Engine

    @initialize()
    def begin(self) -> None:
        self.engine.command("FLUSHDB")
        self.queue = Queue("mail", now=1_800_000_000_000)
        self.stories: dict[str, Story] = {}
        self.runs: dict[str, Run] = {}
        self.late: list[Run] = []
        self.consumer = self.register()

    def run(self, call: Any) -> Any:
        return self.engine.run(call)

    def register(self) -> str:
        return str(self.run(self.queue.register(LEASE)).consumer)

    def ask(self, run: Run, ask: Ask) -> Any:
        call = asked(run.delivery, ask)
        call.args = (self.queue.now, *call.args[1:])
        return self.run(call)

    @rule(program=PROGRAMS, expires=st.sampled_from([(), ("expires", 3_000)]))
    def enqueue(self, program: list[str], expires: tuple[str | int, ...]) -> None:
        [job] = self.run(self.queue.push([NewJob("task", b"body", 5, expires)])).ids
        self.stories[job] = Story(program)

    @rule()
    def take(self) -> None:
        for level, rows in handed_out(self.run(self.queue.pop(self.consumer, 5)).groups):
            for entry, task, value in rows:
                job = value[0].decode() if task == RECORD else f"{level.decode()}-{entry.decode()}"
                where = Delivery(self.queue.anchor, self.consumer, 0, level.decode(), entry.decode(), job)
                assert job not in self.runs
                self.runs[job] = Run(job, where)
        self.note_expired()

    def note_expired(self) -> None:
        """A job that never ran may have been too late."""
        for job, story in self.stories.items():
            if story.end is None and not story.ran and self.state(job) == "expired":
                story.end = "expired"

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), lines=st.integers(1, 4))
    def go_on(self, data: st.DataObject, lines: int) -> None:
        """A worker runs some lines of a program; at its end the job is settled."""
        run = self.runs[data.draw(st.sampled_from(sorted(self.runs)))]
        if run.entries is None:
            run.entries = self.ask(run, recall())
            story = self.stories[run.job]
            assert {k: v for k, v in run.entries.items() if k.startswith(STEP)} == story.noted
        for _ in range(lines):
            if run.job in self.runs:
                self.do_line(run, self.stories[run.job])

    def do_line(self, run: Run, story: Story) -> None:
        if run.line == len(story.program):
            self.settle(run, "done")
            story.end = "completed"
            return
        what, name = story.program[run.line], str(run.line)
        assert run.entries is not None
        if what == STEP and f"step {name}" not in run.entries:
            story.ran.append(run.line)
            body = f"result {len(story.ran)}".encode()
            assert self.ask(run, journal(f"step {name}", body)) is True
            story.noted[f"step {name}"] = body
        elif what != STEP and not self.is_answered(run, story, what, name):
            return
        run.line += 1

    def is_answered(self, run: Run, story: Story, what: str, name: str) -> bool:
        awaited = self.ask(run, await_(what, name, LIMIT, fails=False))
        if awaited.status == "waits":
            assert name not in story.answers
            assert what != SIGNAL or name not in story.sent
            self.settle(run, "wait", "for", f"{what} {name}")
            return False
        answer = (awaited.status, awaited.body)
        assert story.answers.setdefault(name, answer) == answer, "a wait was answered in two ways"
        if awaited.status == "value":
            assert awaited.body == story.sent[name]
        return True

    def settle(self, run: Run, outcome: str, *pairs: str) -> None:
        where = run.delivery
        settlement = settle(outcome, where.level, where.entry, pairs)
        assert self.run(self.queue.settle(self.consumer, settlement)).refused == []
        del self.runs[run.job]

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        run = self.runs[data.draw(st.sampled_from(sorted(self.runs)))]
        self.settle(run, "retry", "error", "E: x")

    @rule()
    def kill(self) -> None:
        """All deliveries are lost; the dead worker's calls may still come."""
        self.run(self.queue.abandon(self.consumer))
        self.late += self.runs.values()
        self.runs = {}
        self.consumer = self.register()

    @precondition(lambda self: self.late)
    @rule(data=st.data(), wait=st.booleans())
    def come_late(self, data: st.DataObject, wait: bool) -> None:
        run = data.draw(st.sampled_from(self.late))
        asks = [recall(), journal("step 0", b"late"), await_("signal", "0", 0, fails=False)]
        assert [self.ask(run, ask) for ask in asks] == [None] * 3
        where = run.delivery
        pairs = ("for", "signal 0") if wait else ()
        settlement = settle("wait" if wait else "done", where.level, where.entry, pairs)
        refused = self.run(self.queue.settle(where.consumer, settlement)).refused
        assert refused == [(where.level, where.entry)]

    @precondition(lambda self: any(SIGNAL in story.program for story in self.stories.values()))
    @rule(data=st.data(), body=st.sampled_from([b"yes", b"no"]))
    def signal(self, data: st.DataObject, body: bytes) -> None:
        asking = sorted(job for job, story in self.stories.items() if SIGNAL in story.program)
        job = data.draw(st.sampled_from(asking[-4:]))
        story = self.stories[job]
        lines = [line for line, what in enumerate(story.program) if what == SIGNAL]
        name = str(data.draw(st.sampled_from(lines)))
        was_over = story.answers.get(name, ("", None))[0] == "over"
        waited = self.run(self.queue.job(job)).get("waits_for") == f"signal {name}"
        try:
            sent = self.run(self.queue.signal(job, name, body))
        except (JobNotFound, WrongState):
            assert story.end is not None or was_over or self.state(job) == "expired"
            return
        assert story.end is None
        assert sent is (name not in story.sent)
        story.sent.setdefault(name, body)
        assert not waited or self.state(job) == "pending"

    @precondition(lambda self: self.stories)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiting = [job for job in self.stories if self.state(job) == "waiting"]
        if waiting:
            job = data.draw(st.sampled_from(sorted(waiting)))
            assert self.run(self.queue.cancel(job)) == "CANCELLED"
            self.stories[job].end = "cancelled"

    @rule(ms=st.sampled_from([1, 1_000, LIMIT]))
    def pass_time(self, ms: int) -> None:
        self.queue.now += ms
        self.run(self.queue.renew([self.consumer], LEASE))

    def state(self, job: str) -> str:
        return str(self.run(self.queue.job(job)).get("state", "gone"))

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "stories"):
            return
        balance = self.run(self.queue.conservation())
        assert balance.difference == 0, balance.parts
        journals = self.engine.command("KEYS", "*:steps:*")
        switches = self.engine.command("HMGET", f"{self.queue.anchor}:meta", "journals", "suspended")
        assert [int(count or 0) for count in switches] == [len(journals), balance.parts["waiting"]]
        assert {key.decode().rpartition(":")[2] for key in journals} <= {
            job for job, story in self.stories.items() if story.end is None
        }

    @invariant()
    def no_finished_step_ran_twice(self) -> None:
        for story in getattr(self, "stories", {}).values():
            assert len(story.ran) == len(set(story.ran)), "noted at once, so run once"

    def teardown(self) -> None:
        """Whatever came before: with a worker and some time, every job ends."""
        if not hasattr(self, "stories"):
            return
        for _ in range(30):
            if all(story.end for story in self.stories.values()):
                break
            self.pass_time(LIMIT)
            self.take()
            for job in list(self.runs):
                run = self.runs[job]
                run.entries = run.entries or self.ask(run, recall())
                while job in self.runs:
                    self.do_line(run, self.stories[job])
        assert all(story.end for story in self.stories.values())
        self.the_books_balance()


PLANTS = {
    "anybody notes": Edit(JOURNAL, "return job, sq.owner(c, level, entry) == me.id", "return job, true"),
    "a journal outlives its job": Edit(
        "28_endings.lua", "  sq.forget_journal(c, job)\n  if runs_again", "  if runs_again"
    ),
    "journals are not counted": Edit(
        JOURNAL, "if redis.call('EXISTS', key) == 0 then sq.switch(c, 'journals', 1) end", ""
    ),
    "a job expires that has begun": Edit(
        JOURNAL, "redis.call('HDEL', sq.record(c, job), 'expires')", "return c, job"
    ),
    "a signal is slept over": Edit(SIGNALS, "if sq.noted(c, job, what) then due = c.now end", ""),
    "a signal wakes nobody": Edit(SIGNALS, "if waits_for == flat[1] then", "if false then"),
    "a late signal is taken": Edit(
        SIGNALS, "if sq.noted(c, job, 'over ' .. name) then return 'STATE'", "if false then return 'STATE'"
    ),
    "the second value stands": Edit(SIGNALS, "if old and not replace then return 'KEPT' end", ""),
    "a limit begins anew": Edit(SIGNALS, "noted or limit and c.now + limit", "limit and c.now + limit"),
    "waits are not counted down": Edit(SIGNALS, "  sq.count(c, 'waiting', -1)\n", ""),
    "a time is never over": Edit("22_ready.lua", "if c.suspended > 0 then sq.resume_due(c) end", ""),
    "a cancelled wait stays": Edit("60_control.lua", "sq.end_wait(c, job)", ""),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_seen(valkey: Server, plant: str) -> None:
    with pytest.raises((AssertionError, StreamqError, KeyError)):
        explore(valkey, PLANTS[plant], examples=600, phases=[Phase.generate], derandomize=True)


@pytest.mark.timeout(300)
def test_any_sequence_of_kills_signals_and_times_keeps_journals_and_answers(server: Server) -> None:
    explore(server)


def explore(server: Server, *plant: Edit, examples: int = 100, **more: Any) -> None:
    engine = open_engine(Config.load(url=server.url))
    if plant:
        engine.install()  # first, so that it does not mend the library
        server.raw.function_load(source(*plant), replace=True)
    machine = type("Machine", (WaitingMachine,), {"engine": engine})
    quiet = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    try:
        run_state_machine_as_test(
            machine, settings=settings(max_examples=examples, stateful_step_count=50, **quiet, **more)
        )
    finally:
        engine.close()
