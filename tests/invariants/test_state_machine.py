"""A hypothesis state machine over the driver: random operations on a real server, a model beside it, and after every step
the balance of FAULTS.md and the states of all jobs."""

from __future__ import annotations

from dataclasses import dataclass, field

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
from streamq.errors import StaleCall
from streamq.protocol.consume import RECORD, Taken, handed_out, plain, settle
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue, follow
from streamq.states import MOVES, State

LEASE = 3000
PAIRS = {"retry": ("delay", 700), "strike": ("reason", "s1"), "expired": ("reason", "too late")}


@dataclass
class Consumer:
    """One consumer of the model: what it holds as delivery → job, and whether it may still take."""

    id: str
    held: dict[tuple[str, str], str] = field(default_factory=dict)
    clean: bool = True


class QueueMachine(RuleBasedStateMachine):
    """Jobs by id → state; the server is asked for the same after every step."""

    engine: Engine

    @initialize()
    def begin(self) -> None:
        self.engine.command("FLUSHDB")
        self.queue = Queue("mail", now=1_800_000_000_000)
        self.states: dict[str, State] = {}
        self.consumers: list[Consumer] = []
        self.gone: list[Consumer] = []
        self.asked: set[str] = set()
        self.paused = False
        self.sequence = 0

    def become(self, job: str, state: State) -> None:
        assert state in MOVES[self.states[job]], f"{job} went from {self.states[job]} to {state}"
        self.states[job] = state

    # -- producing -----------------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 8), level=st.integers(0, 9), delay=st.sampled_from([0, 0, 0, 500, 60_000]))
    def enqueue(self, count: int, level: int, delay: int) -> None:
        options = ("delay", delay) if delay else ()
        jobs = [NewJob("task", b"\x01\x91\x90", level, options) for _ in range(count)]
        self.sequence += 1
        call = self.queue.push(jobs, producer="p", channel=1, seq=self.sequence)
        added = self.engine.run(call)
        assert self.engine.run(call) == added, "a repeated call answered something else"
        assert not self.states.keys() & set(added.ids), "an id was given twice"
        self.states |= dict.fromkeys(added.ids, State.SCHEDULED if delay else State.PENDING)

    # -- consuming -----------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.consumers) < 4)
    @rule()
    def register(self) -> None:
        self.consumers.append(Consumer(self.engine.run(self.queue.register(LEASE)).consumer))

    @precondition(lambda self: self.consumers)
    @rule(data=st.data())
    def take_many(self, data: st.DataObject) -> None:
        self.take(data, 8, 2)

    @precondition(lambda self: self.consumers)
    @rule(data=st.data(), n=st.integers(0, 6), isolate=st.integers(0, 2))
    def take_some(self, data: st.DataObject, n: int, isolate: int) -> None:
        self.take(data, n, isolate)

    def take(self, data: st.DataObject, n: int, isolate: int) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        taken = self.engine.run(self.queue.pop(consumer.id, n, isolate=isolate))
        self.receive(consumer, taken)

    def receive(self, consumer: Consumer, taken: Taken) -> None:
        given = [*_rows(taken.groups), *_rows(taken.alone)]
        assert not given or (taken.state == "clean" and not self.paused)
        consumer.clean = taken.state == "clean"
        for level, entry, job in given:
            if self.states[job] in (State.SCHEDULED, State.RETRYING):  # promoted by this call
                self.become(job, State.PENDING)
            self.become(job, State.ACTIVE)
            consumer.held[level, entry] = job
        self.end_those_that_were_asked_to_stop()

    def end_those_that_were_asked_to_stop(self) -> None:
        """Lost before they obeyed, they end where they would be given out again."""
        for job in [job for job in self.asked if self.states[job] == State.PENDING]:
            if self.is_over(job):
                self.become(job, State.CANCELLED)
                self.asked.discard(job)

    @precondition(lambda self: any(consumer.held for consumer in self.consumers))
    @rule(data=st.data())
    def complete_all(self, data: st.DataObject) -> None:
        consumer = data.draw(st.sampled_from([one for one in self.consumers if one.held]))
        settlements = [part for level, entry in consumer.held for part in settle("done", level, entry)]
        assert self.engine.run(self.queue.settle(consumer.id, settlements)).refused == []
        for job in consumer.held.values():
            self.become(job, State.COMPLETED)
            self.asked.discard(job)
        consumer.held.clear()

    @precondition(lambda self: any(consumer.held for consumer in self.consumers))
    @rule(
        data=st.data(),
        outcome=st.sampled_from(
            ["ok", "done", "retry", "snooze", "park", "strike", "expired", "dead", "cancelled", "release"]
        ),
    )
    def settle_one(self, data: st.DataObject, outcome: str) -> None:
        consumer = data.draw(st.sampled_from([one for one in self.consumers if one.held]))
        level, entry = data.draw(st.sampled_from(sorted(consumer.held)))
        job = consumer.held.pop((level, entry))
        if outcome == "ok" and job != f"{level}-{entry}":
            outcome = "done"
        settlement = (
            plain(level, [entry], "line")
            if outcome == "ok"
            else settle(outcome, level, entry, PAIRS.get(outcome, ()))
        )
        finished = self.engine.run(self.queue.settle(consumer.id, settlement))
        assert finished.refused == []
        asked = job in self.asked
        self.asked.discard(job)
        after = {
            "ok": State.COMPLETED,
            "done": State.COMPLETED,
            "dead": State.DEAD,
            "cancelled": State.CANCELLED,
            "expired": State.EXPIRED,
            "release": State.PENDING,
        }
        self.become(
            job,
            State.CANCELLED
            if asked and outcome not in ("ok", "done", "dead")
            else after.get(outcome, State.RETRYING),
        )
        if outcome == "release" and not asked:
            consumer.clean = False

    @precondition(lambda self: any(consumer.held for consumer in self.gone))
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "done", "retry", "dead", "release"]))
    def settle_late(self, data: st.DataObject, outcome: str) -> None:
        consumer = data.draw(st.sampled_from([one for one in self.gone if one.held]))
        level, entry = data.draw(st.sampled_from(sorted(consumer.held)))
        settlement = plain(level, [entry]) if outcome == "ok" else settle(outcome, level, entry)
        assert self.engine.run(self.queue.settle(consumer.id, settlement)).refused == [(level, entry)]

    @precondition(lambda self: any(one.held for one in self.consumers))
    @rule(data=st.data(), suspected=st.booleans())
    def abandon(self, data: st.DataObject, suspected: bool) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        suspects = [f"{level}-{entry}" for level, entry in consumer.held] if suspected else []
        assert self.engine.run(self.queue.abandon(consumer.id, suspects=suspects)) == len(consumer.held)
        self.lose(consumer)

    def lose(self, consumer: Consumer) -> None:
        for job in consumer.held.values():
            self.become(job, State.PENDING)
        self.consumers.remove(consumer)
        self.gone.append(consumer)

    @precondition(lambda self: any(one.held for one in self.consumers))
    @rule(data=st.data())
    def let_a_lease_end(self, data: st.DataObject) -> None:
        """All but one are renewed, in steps that are no silence; then that one is recovered."""
        consumer = data.draw(st.sampled_from(self.consumers))
        others = [one.id for one in self.consumers if one is not consumer]
        for _ in range(8):
            self.queue.now += LEASE // 3
            self.engine.run(self.queue.renew(others, LEASE))
        assert self.engine.run(self.queue.renew([consumer.id], LEASE)).status == ["gone"]
        self.lose(consumer)

    @precondition(lambda self: any(one.held for one in self.consumers))
    @rule(data=st.data(), generation=st.integers(1, 3))
    def adopt(self, data: st.DataObject, generation: int) -> None:
        consumer = data.draw(st.sampled_from(self.consumers))
        try:
            adopted = self.engine.run(self.queue.adopt(consumer.id, generation))
        except StaleCall:
            return
        assert {(level, entry): job for level, entry, job in _rows(adopted.groups)} == consumer.held
        self.engine.run(self.queue.retire(consumer.id))
        self.lose(consumer)

    # -- steering and time ---------------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([1, 400, 1000]))
    def pass_time(self, ms: int) -> None:
        self.queue.now += ms
        self.engine.run(self.queue.renew([one.id for one in self.consumers], LEASE))

    @precondition(lambda self: not self.paused and any(one.held for one in self.consumers))
    @rule()
    def pause(self) -> None:
        self.paused = self.engine.run(self.queue.pause("by the test"))

    @precondition(lambda self: self.paused)
    @rule()
    def resume(self) -> None:
        self.paused = not self.engine.run(self.queue.resume())

    @rule(ends=st.sampled_from([{}, {"for": 2_000}]))
    def strike(self, ends: dict[str, int]) -> None:
        """What workers hand back for it waits, whether it stands, is over, or never was."""
        self.engine.run(self.queue.strike("s1", "task", {}, **ends))

    @rule()
    def lift(self) -> None:
        self.engine.run(self.queue.unstrike("s1"))

    @precondition(lambda self: len(self.states) > 3)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.states)))
        answer = self.engine.run(self.queue.cancel(job))
        if self.states[job] == State.ACTIVE:
            assert answer == "ASKED"
            self.asked.add(job)
        elif State.CANCELLED in MOVES[self.states[job]] and self.states[job] != State.DEAD:
            assert answer == "CANCELLED"
            self.become(job, State.CANCELLED)
            self.asked.discard(job)
        else:
            assert answer == "GONE"

    @precondition(lambda self: State.DEAD in self.states.values())
    @rule(data=st.data())
    def retry_dead(self, data: st.DataObject) -> None:
        job = data.draw(
            st.sampled_from(sorted(job for job, state in self.states.items() if state == State.DEAD))
        )
        assert self.engine.run(self.queue.retry(job))
        self.become(job, State.PENDING)

    @precondition(lambda self: len(self.states) > 40)
    @rule(what=st.sampled_from(["pending", "delayed"]))
    def purge(self, what: str) -> None:
        before = self.engine.run(self.queue.stats())
        assert follow(self.engine, self.queue.purge(what)) >= int(before[what]) - len(self.lost_jobs())
        self.adjust_after_purge()

    def lost_jobs(self) -> list[str]:
        """Pending ones that were delivered before: a purge of what waits leaves them."""
        return [job for job, state in self.states.items() if state == State.PENDING]

    def is_over(self, job: str) -> bool:
        return self.engine.run(self.queue.job(job)).get("state", State.CANCELLED) == State.CANCELLED

    def adjust_after_purge(self) -> None:
        for job, state in self.states.items():
            if state not in (State.COMPLETED, State.CANCELLED) and self.is_over(job):
                self.become(job, State.CANCELLED)

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def the_balance_is_kept(self) -> None:
        if not hasattr(self, "states"):
            return
        balance = self.engine.run(self.queue.conservation())
        assert balance.difference == 0, balance.parts
        assert balance.parts["enqueued"] == len(self.states)
        counted = {state: sum(1 for one in self.states.values() if one == state) for state in State}
        for state in (State.COMPLETED, State.DEAD, State.CANCELLED, State.EXPIRED):
            assert balance.parts[state] == counted[state], state
        unfinished = sum(balance.parts[name] for name in ("delayed", "pending", "active"))
        assert unfinished == sum(
            counted[state] for state in (State.SCHEDULED, State.RETRYING, State.PENDING, State.ACTIVE)
        )

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        for job, state in list(getattr(self, "states", {}).items())[-8:]:
            found = self.engine.run(self.queue.job(job)).get("state", "nowhere")
            due = state in (State.SCHEDULED, State.RETRYING) and found == State.PENDING  # promoted meanwhile
            gone = state in (State.COMPLETED, State.CANCELLED) and found == "nowhere"
            assert found == state or due or gone, f"{job} is {found}, the model says {state}"


def _rows(groups: list[object]) -> list[tuple[str, str, str]]:
    found = []
    for level, rows in handed_out(groups):
        for entry, task, value in rows:
            plain_id = f"{level.decode()}-{entry.decode()}"
            found.append((level.decode(), entry.decode(), value[0].decode() if task == RECORD else plain_id))
    return found


@pytest.mark.timeout(300)
def test_any_sequence_of_operations_keeps_the_balance_and_the_states(server: Server) -> None:
    engine = open_engine(Config.load(url=server.url))
    machine = type("Machine", (QueueMachine,), {"engine": engine})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=40,
                stateful_step_count=60,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        engine.close()
