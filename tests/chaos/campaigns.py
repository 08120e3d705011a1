"""What is done to a fleet or its server while jobs run, and the total-queue check at the end (FAULTS.md)."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from chaos.fleet import Fleet
from chaos.jobs import count, count_sync
from servers import Server, until
from streamq import App
from streamq.queue import Queue

__all__ = ["Verdict", "kill_workers", "restart_server"]


@dataclass
class Verdict:
    """accepted less seen is lost, seen less accepted is unexpected; both must be empty for a campaign to count."""

    accepted: set[int] = field(default_factory=set)
    runs: Counter[int] = field(default_factory=Counter)
    failures: int = 0
    kills: int = 0
    in_flight: int = 0
    balance: int = 0
    dead: int = 0
    seconds: float = 0.0

    @property
    def lost(self) -> set[int]:
        """Accepted jobs that never ran."""
        return self.accepted - set(self.runs)

    @property
    def unexpected(self) -> set[int]:
        """What ran and was never accepted."""
        return set(self.runs) - self.accepted

    @property
    def repeated(self) -> int:
        """Runs beyond the first that were not retries of a failure."""
        return sum(self.runs.values()) - len(self.runs) - self.failures

    def __str__(self) -> str:
        return (
            f"{len(self.accepted):,} jobs, {self.kills:,} kills, lost {len(self.lost)}, unexpected {len(self.unexpected)}, "
            f"dead {self.dead}, run again {self.repeated:,} (in flight at kills: at most {self.in_flight:,}), "
            f"balance {self.balance}, {self.seconds:.0f} s"
        )


def kill_workers(server: Server, *, jobs: int, kills: int, every: float = 0.08) -> Verdict:
    """SIGKILL worker processes at random moments, every fiftieth time the whole host, until both numbers are reached."""
    with App(server.url) as app, Fleet(server) as fleet:
        verdict = Verdict()
        began = time.monotonic()
        while verdict.kills < kills or len(verdict.accepted) < jobs:
            _feed(app, verdict, jobs)
            time.sleep(random.random() * 2 * every)
            if verdict.kills < kills:
                _strike(app, fleet, verdict)
        return _finish(app, server, verdict, began)


def restart_server(server: Server, *, jobs: int, restarts: int, every: float = 1.0) -> Verdict:
    """SIGKILL the server and start it on its append-only file, again and again, while jobs go in and run."""
    with App(server.url) as app, Fleet(server) as fleet:
        verdict = Verdict()
        _wait_for_workers(app)
        began = time.monotonic()
        while verdict.kills < restarts or len(verdict.accepted) < jobs:
            _feed(app, verdict, jobs)
            time.sleep(random.random() * 2 * every)
            if verdict.kills < restarts:
                verdict.in_flight += _active(app) + fleet.workers * fleet.concurrency  # taken meanwhile
                server.restart()
                verdict.kills += 1
        return _finish(app, server, verdict, began)


def _wait_for_workers(app: App) -> None:
    """A fleet that does not find its server when it starts ends at once; later it comes over its absence."""
    until(lambda: app.run(Queue("default").stats())["workers"] != "0", "the fleet has started")


def _feed(app: App, verdict: Verdict, jobs: int, step: int = 250) -> None:
    """Put the next jobs in; they count as accepted when the call has returned."""
    start = len(verdict.accepted)
    numbers = range(start, min(start + step, jobs))
    if not numbers or _unfinished(app) > 5_000:
        return
    tasks = (app.task(count.fn), app.task(count_sync.fn)) if not app.tasks else tuple(app.tasks.values())
    app.enqueue_many([tasks[number % 2].call(number) for number in numbers])
    verdict.accepted |= set(numbers)


def _alone(app: App) -> set[int]:
    """Processes that run one suspect: a death there counts against the job, so the campaign must not cause it."""
    told = [worker.about for worker in app.run(Queue("default").workers())]
    return {int(about.split("pid ")[1].split(",")[0]) for about in told if "alone" in about}


def _strike(app: App, fleet: Fleet, verdict: Verdict) -> None:
    if verdict.kills % 50 == 49:
        fleet.kill_all()
    elif not fleet.kill_a_child(spared=_alone(app)):
        return
    verdict.kills += 1
    verdict.in_flight += _active(app)


def _active(app: App) -> int:
    """What was given to workers and not settled, right after a kill: at most this can run again."""
    return int(app.run(Queue("default").stats())["active"])


def _unfinished(app: App) -> int:
    stats = app.run(Queue("default").stats())
    return sum(int(stats[name]) for name in ("pending", "active", "delayed"))


def _finish(app: App, server: Server, verdict: Verdict, began: float) -> Verdict:
    """Everything is left in peace until nothing waits any more; then the books are compared."""
    _wait_for_the_end(app)
    for line in server.raw.lrange("ledger", 0, -1):
        verdict.runs[int(line.split()[0])] += 1
    balance = app.run(Queue("default").conservation())
    verdict.balance, verdict.dead = balance.difference, balance.parts["dead"]
    verdict.failures = _failures(app)
    verdict.seconds = time.monotonic() - began
    return verdict


def _failures(app: App) -> int:
    """Attempts that failed and were retried, from the statistics of the minutes."""
    this = int(time.time() // 60)
    minutes = app.run(Queue("default").minutes(this - 100, this))
    return sum(
        minute.counts.get(f"ended:{task}:retrying", 0)
        for minute in minutes
        for task in ("count", "count_sync")
    )


def _wait_for_the_end(app: App) -> None:
    """As long as anything moves; a queue in which nothing has ended for a minute is stuck, and says why."""
    left, since = _unfinished(app), time.monotonic()
    while left:
        time.sleep(0.1)
        now = _unfinished(app)
        if now != left:
            left, since = now, time.monotonic()
        elif time.monotonic() - since > 60:
            raise TimeoutError(f"nothing has ended for a minute: {_picture(app)}")


def _picture(app: App) -> str:
    """What waits, and for what: the state of the queue for whoever reads a failed campaign."""
    queue = Queue("default")
    jobs = [
        job.id
        for what in ("active", "pending", "delayed")
        for job in app.run(queue.list_jobs(what, count=3)).jobs
    ]
    because = {job: app.run(queue.explain(job)) for job in jobs}
    return f"{app.run(queue.stats())}\n{because}\n{app.run(queue.workers())}"
