"""The driver: makes the schedules, moves the clock, kills processes, and compares the jobs with the times at the end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

from servers import Server
from simulation.library import Edit, source
from streamq.config import Config
from streamq.engines.factory import open_engine
from streamq.library import REVISION, library
from streamq.protocol import inspect
from streamq.protocol.enqueue import NewJob
from streamq.queue import follow
from streamq.schedules import Blackout, Window, parse
from streamq.ticks.definition import Definition
from streamq.ticks.keeping import put
from streamq.ticks.planning import Times, instant, ms_of
from streamq.ticks.policies import Policies
from streamq.wire import Payloads
from ticking.ticker import QUEUE, Clock
from ticking.ticker import run as run_ticker

ANCHOR = "sq:{mail}"
START = 1_793_000_000_000  # ms; in the night of 26 October 2026, so that ten hours have a morning in them
EXPRESSIONS = (
    "every 5 minutes", "every 7 minutes", "every 20 minutes", "every hour", "every 90 minutes", "*/15 * * * *", "0 */2 * * *",
    "every 10 minutes between 6am and 9am Europe/Rome", "every day at 8:30am Asia/Kolkata", "every 30 minutes",
)  # fmt: skip
CALM = 8.0  # seconds of real time in which all that is due must be ticked at the end


@dataclass(frozen=True, slots=True)
class Scale:
    """``speed``: virtual seconds in a real one. ``pause``: real seconds between two kills of a process, about, and
    ``restart`` between two of the server (0: it lives); then it has an append-only file that is written at once."""

    processes: int = 8
    schedules: int = 1000
    hours: float = 10.0
    speed: float = 500.0
    pause: float = 0.2
    restart: float = 0.0
    seed: int = 1


@dataclass(slots=True)
class Verdict:
    """What was found. ``missing`` and ``surplus``: times without their job, and jobs without a time or beside another one."""

    times: int = 0
    jobs: int = 0
    kills: int = 0
    restarts: int = 0
    seconds: float = 0.0
    balance: int = 0
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether each time had exactly one job."""
        return self.times > 0 and not self.missing and not self.surplus and not self.balance

    def __str__(self) -> str:
        return (
            f"{self.times} times, {self.jobs} jobs, {self.kills} kills and {self.restarts} restarts in {self.seconds:.0f} s; "
            f"{len(self.missing)} times without a job {self.missing[:3]}, {len(self.surplus)} jobs too many "
            f"{self.surplus[:3]}; conservation {self.balance}"
        )


class Crew:
    """The processes. One that is killed is followed by another at once."""

    def __init__(self, count: int, url: str, clock: Clock) -> None:
        self._url, self._clock = url, clock
        self._pids = [self._fork() for _ in range(count)]

    def kill(self, place: int) -> None:
        """At whatever it is doing."""
        os.kill(self._pids[place], signal.SIGKILL)
        os.waitpid(self._pids[place], 0)
        self._pids[place] = self._fork()

    def stop(self) -> None:
        """End all."""
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._pids = []

    def _fork(self) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            run_ticker(self._url, ANCHOR, self._clock)
        finally:
            os._exit(1)


def run(kind: str, scale: Scale, edits: Iterable[Edit] = ()) -> Verdict:
    """One campaign on a server of that kind; ``edits`` plant a bug."""
    edits, begun = tuple(edits), time.monotonic()
    durably = ("--appendfsync", "always") if scale.restart else ()
    with (
        Server(kind, aof=bool(scale.restart), extra=durably) as server,
        TemporaryDirectory(prefix="sq-clock-") as folder,
    ):
        server.raw.function_load(_newer(source(*edits)) if edits else library().source)
        clock = Clock(Path(folder) / "clock")
        clock.now = START
        chance = random.Random(scale.seed)
        definitions = [_definition(number, chance) for number in range(scale.schedules)]
        _put_all(server, definitions)
        crew = Crew(scale.processes, server.url, clock)
        try:
            kills, restarts = _pass_time(scale, server, clock, crew, chance)
            _wait_until_calm(server, clock)
        finally:
            crew.stop()
        verdict = _compare(server, definitions, clock.now)
    verdict.kills, verdict.restarts, verdict.seconds = kills, restarts, time.monotonic() - begun
    return verdict


def _newer(code: str) -> str:
    """A library of a later revision, which no engine replaces."""
    return code.replace(f"-- rev {REVISION} ", f"-- rev {REVISION + 1} ", 1)


def _definition(number: int, chance: random.Random) -> Definition:
    """Every third has a jitter, every fifth a blackout."""
    jitter = chance.choice((5.0, 30.0)) if number % 3 == 0 else 0.0
    dark = (Blackout.read("monday 04:00 to 04:30"),) if number % 5 == 0 else ()
    policies = Policies(missed="all", most=1000, overlap="allow", jitter=jitter)
    times = Times(f"s{number}", parse(chance.choice(EXPRESSIONS)), Window(blackouts=dark), policies)
    return Definition(times, NewJob("task", Payloads("sq").pack(QUEUE, "task", (number,), {})))


def _put_all(server: Server, definitions: Iterable[Definition]) -> None:
    engine = open_engine(Config(url=server.url))
    for definition in definitions:
        follow(engine, put(ANCHOR, START, "api", definition))
    engine.close()


def _pass_time(
    scale: Scale, server: Server, clock: Clock, crew: Crew, chance: random.Random
) -> tuple[int, int]:
    """Move the clock to the end, and kill meanwhile; how often which."""
    begun, kills, restarts = time.monotonic(), 0, 0
    end, next_kill, next_restart = START + round(scale.hours * 3_600_000), begun, begun + scale.restart
    while clock.now < end:
        now = time.monotonic()
        clock.now = min(end, START + round((now - begun) * scale.speed * 1000))
        if now >= next_kill:
            crew.kill(chance.randrange(scale.processes))
            kills += 1
            next_kill = now + scale.pause * chance.uniform(0.2, 1.8)
        if scale.restart and now >= next_restart:
            server.restart()
            restarts += 1
            next_restart = time.monotonic() + scale.restart
        time.sleep(0.005)
    return kills, restarts


def _wait_until_calm(server: Server, clock: Clock) -> None:
    """Until nothing is due any more. The clock goes on a little, so that what dead processes were told of is told again."""
    schedules, until = f"{ANCHOR}:schedules", time.monotonic() + CALM
    while time.monotonic() < until:
        kept = [
            server.raw.hget(f"{ANCHOR}:schedule:{name.decode()}", "due_at")
            for name in server.raw.zrange(schedules, 0, -1)
        ]
        if all(due is None or int(due) > clock.now for due in kept):
            return
        time.sleep(0.05)
        clock.now += 100


def _compare(server: Server, definitions: Iterable[Definition], end: int) -> Verdict:
    found: Counter[tuple[str, int]] = Counter()
    for key in server.raw.scan_iter(f"{ANCHOR}:job:*", count=10_000):
        schedule, scheduled = server.raw.hmget(key, "schedule", "scheduled")
        found[schedule.decode(), int(scheduled)] += 1
    due = {(one.name, moment) for one in definitions for moment in _times(one.times, end)}
    engine = open_engine(Config(url=server.url))
    balance = engine.run(inspect.conservation(ANCHOR)).difference
    engine.close()
    surplus = [
        f"{name} at {moment}: {count}"
        for (name, moment), count in found.items()
        if count > 1 or (name, moment) not in due
    ]
    missing = [f"{name} at {moment}" for name, moment in sorted(due - set(found))]
    return Verdict(len(due), found.total(), balance=balance, missing=missing, surplus=surplus)


def _times(times: Times, end: int) -> Iterable[int]:
    """All that are due by the end; found one by one, from the timetable alone."""
    begin, last = instant(START) + timedelta(milliseconds=1), instant(end)
    return map(ms_of, takewhile(lambda moment: times.due_at(moment) <= last, times.between(begin, last)))
