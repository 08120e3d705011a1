"""What lanes and limits cost: draining from deep lanes and from lanes of one job beside plain jobs in the same run, memory,
takes beside many lanes that are closed, calls among a million lane jobs, and the silence of a queue in which nothing may move."""

from __future__ import annotations

import time
from statistics import median

from bench.ground import (
    QUEUE,
    Run,
    counted,
    executed_commands,
    idle_fleet,
    middle,
    sent_commands,
    used_memory,
    wait_until,
)
from bench.growth.direct import Direct, Times, quiet, settled
from streamq import App
from streamq.protocol import Argument
from streamq.protocol.limits import declare, stop
from streamq.queue import follow

ROUNDS = 5
DRAINED = 100_000
DEEP = 10  # lanes
CLOSED = 10_000  # lanes
MILLION = 1_000_000  # jobs
TAKES = 200
SILENCE = 10.0  # seconds
FLEET = 4  # processes


def measure(run: Run) -> dict[str, object]:
    """Rates and their ratios to that of plain jobs; bytes; commands and milliseconds of takes; commands/s of idle workers."""
    figures = _drains(run)
    figures |= _memory(run)
    figures |= _closed(run)
    figures |= _million(run)
    return figures | _silence(run)


def _drains(run: Run) -> dict[str, object]:
    """One worker process, the three kinds by turns."""
    jobs = run.size(DRAINED)
    run.server.flush()
    found: dict[str, list[float]] = {"plain": [], "deep": [], "own": []}
    with run.app() as app, idle_fleet(run, app):
        direct = Direct.of(app, QUEUE)
        for _ in range(ROUNDS):
            found["plain"].append(_drain(app, direct, jobs, 0))
            found["deep"].append(_drain(app, direct, jobs, DEEP))
            found["own"].append(_drain(app, direct, jobs, jobs))
    ratios = {kind: _ratios(found[kind], found["plain"]) for kind in ("deep", "own")}
    return {
        **{f"drain_{kind}": middle(rates) for kind, rates in found.items()},
        **{f"{kind}_of_plain": middle(ratio) for kind, ratio in ratios.items()},
    }


def _ratios(rates: list[float], beside: list[float]) -> list[float]:
    return [one / other for one, other in zip(rates, beside, strict=True)]


def _drain(app: App, direct: Direct, jobs: int, lanes: int) -> float:
    before = counted(app, "completed")
    app.run(direct.queue.pause())
    if lanes:
        direct.fill_lanes(jobs, lanes)
    else:
        direct.fill(jobs)
    began = time.perf_counter()
    app.run(direct.queue.resume())
    wait_until(lambda: counted(app, "completed") >= before + jobs, every=0.005)
    return jobs / (time.perf_counter() - began)


def _memory(run: Run) -> dict[str, object]:
    """Bytes of the server for a waiting job of 100 bytes."""
    jobs, figures = run.size(DRAINED), dict[str, object]()
    for name, lanes in (("deep", DEEP), ("own", jobs)):
        run.server.flush()
        with run.app() as app:
            direct = Direct.of(app, QUEUE)
            empty = used_memory(run)
            direct.fill_lanes(jobs, lanes)
            quiet(run)
            figures[f"{name}_bytes"] = (used_memory(run) - empty) / jobs
    return figures


def _closed(run: Run) -> dict[str, object]:
    """A take on an empty queue that knows limits, and one beside lanes without tokens."""
    lanes = run.size(CLOSED)
    run.server.flush()
    with run.app() as app:
        direct = Direct.of(app, QUEUE)
        follow(direct.engine, declare(direct.queue.anchor, 0, {"tenant:*": "rate=0 burst=1"}))
        consumer = direct.consumer()
        empty = _takes(run, direct, consumer)
        direct.fill_lanes(2 * lanes, lanes)
        _exhaust(direct, consumer)
        beside = _takes(run, direct, consumer)
    return {
        "empty_take_commands": empty[0],
        "closed_take_commands": beside[0],
        "empty_take_ms": empty[1],
        "closed_take_ms": beside[1],
    }


def _exhaust(direct: Direct, consumer: str) -> None:
    """Run what may run, and settle it, until nothing moves."""
    settlements = list[Argument]()
    while True:
        taken = direct.engine.run(direct.queue.pop(consumer, 500, settlements=settlements))
        settlements = settled(taken.groups)
        if not settlements and taken.sleep > 1:
            return


def _takes(run: Run, direct: Direct, consumer: str) -> tuple[float, float]:
    """Commands that the server executes for a take, and its milliseconds."""
    before, times = executed_commands(run), []
    for _ in range(TAKES):
        began = time.perf_counter()
        direct.engine.run(direct.queue.pop(consumer, 100))
        times.append((time.perf_counter() - began) * 1e3)
    return (executed_commands(run) - before) / TAKES, median(times)


def _million(run: Run) -> dict[str, object]:
    """Takes and enqueues of a hundred among many jobs, in a tenth as many lanes."""
    jobs = run.size(MILLION)
    run.server.flush()
    with run.app() as app:
        direct = Direct.of(app, QUEUE)
        direct.fill_lanes(jobs, jobs // 10)
        quiet(run)
        times = _hundreds(direct, max(50, run.size(3_000)))
    return {f"million_{name}": value for name, value in times.figures().items() if "at" not in name}


def _hundreds(direct: Direct, rounds: int) -> Times:
    consumer, settlements, times = direct.consumer(), list[Argument](), Times([], [])
    for _ in range(rounds):
        began = time.perf_counter()
        taken = direct.engine.run(direct.queue.pop(consumer, 100, settlements=settlements))
        ended = time.perf_counter()
        direct.fill_lanes(100, 100)
        times.takes.append((ended - began) * 1e3)
        times.enqueues.append((time.perf_counter() - ended) * 1e3)
        settlements = settled(taken.groups)
    return times


def _silence(run: Run) -> dict[str, object]:
    """Commands a second of each worker while everything that waits is closed."""
    run.server.flush()
    with run.app() as app, idle_fleet(run, app, workers=FLEET):
        direct = Direct.of(app, QUEUE)
        app.run(stop(direct.queue.anchor, 0, "provider", 3_600_000, "bench"))
        direct.fill_lanes(run.size(CLOSED), run.size(CLOSED))
        time.sleep(2)
        before = sent_commands(run)
        time.sleep(SILENCE)
        rate = (sent_commands(run) - before) / SILENCE / FLEET
        assert counted(app, "completed") == 0
    return {"silent_commands_per_s_a_worker": rate}
