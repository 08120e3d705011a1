"""What each figure is, in words, its unit, and what was asked of it.

A figure that has no words here is shown all the same: by its name, with the unit that its name ends with.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.report.asked import Asked, at_least, at_most
from bench.report.workloads import FAMILIES

__all__ = ["AXES", "PARTS", "Words", "words_of"]


class Words(NamedTuple):
    """Of one figure."""

    text: str
    unit: str
    asked: Asked | None = None


# Parts in the order of the report; what is not here comes behind, by its name.
PARTS = {
    "raw": "Raw commands, from Python",
    "limit": "The limit: raw commands, from C",
    "engine": "The functions",
    "enqueue": "Enqueue",
    "drain": "Drain",
    "steady": "A producer and a worker at once",
    "pickup": "Pick-up when idle",
    "load": "Pick-up under load",
    "lateness": "Lateness of delayed jobs",
    "retries": "Retries",
    "priorities": "Priorities under load",
    "payloads": "Payloads",
    "waiting": "Handlers that wait or fail",
    "recovery": "Recovery after a kill",
    "memory": "Memory",
    "costs": "Costs of a job",
    "idle": "An idle fleet",
    "lanes": "Lanes and limits",
}

AXES = {
    "queued": "queued jobs",
    "delayed": "delayed jobs",
    "connections": "workers' connections",
    "queues": "queues",
    "servers": "servers",
}

_WORDS: dict[str, Words] = {
    **{
        f"{part}.{figure}": Words(*row)
        for part, figures in FAMILIES.items()
        for figure, row in figures.items()
    },
    "headline.share_1": Words("drain by one process, of the limit with one connection", "%", at_least(60)),
    "headline.share_2": Words("drain by two processes, of the limit with two connections", "%", at_least(60)),
    "headline.share_life": Words("producer and worker at once, of the limit's whole life", "%", at_least(60)),
    "headline.share_add": Words("enqueue_many by 1,000, of the limit's adding", "%"),
    "headline.server_cost": Words(
        "server CPU of a job's life, as a multiple of raw commands", "times", at_most(1.3)
    ),
    "headline.times_best_python": Words(
        "drain, as a multiple of the best pure-Python peer", "times", at_least(20)
    ),
    "headline.times_best_other": Words("drain, as a multiple of the best other peer", "times", at_least(5)),
    "raw.add_jobs_per_s": Words("XADD by hundreds, one redis-py client", "jobs/s"),
    "raw.drain_jobs_per_s": Words("XREADGROUP, XACK, XDEL by hundreds", "jobs/s"),
    "raw.add_server_us": Words("server CPU to add", "µs a job"),
    "raw.drain_server_us": Words("server CPU to drain", "µs a job"),
    "limit.add_1_jobs_per_s": Words("add, 1 connection", "jobs/s"),
    "limit.add_2_jobs_per_s": Words("add, 2 connections", "jobs/s"),
    "limit.drain_1_jobs_per_s": Words("drain, 1 connection", "jobs/s"),
    "limit.drain_2_jobs_per_s": Words("drain, 2 connections", "jobs/s"),
    "limit.both_1_jobs_per_s": Words("the whole life, 1 connection", "jobs/s"),
    "limit.both_2_jobs_per_s": Words("the whole life, 2 connections", "jobs/s"),
    "engine.add_server_us": Words("server CPU to enqueue, by hundreds", "µs a job"),
    "engine.drain_server_us": Words("server CPU to take and settle", "µs a job"),
    "engine.bytes_per_queued_job": Words(
        "server memory of a queued plain job of 100 bytes", "bytes", at_most(160, 140)
    ),
    "enqueue.single_p50_ms": Words("one job, p50", "ms", at_most(0.08, 0.05)),
    "enqueue.single_p99_ms": Words("one job, p99", "ms"),
    "enqueue.single_jobs_per_s": Words("one by one", "jobs/s"),
    "enqueue.bulk_10_jobs_per_s": Words("enqueue_many by 10", "jobs/s"),
    "enqueue.bulk_100_jobs_per_s": Words("enqueue_many by 100", "jobs/s"),
    "enqueue.bulk_1000_jobs_per_s": Words("enqueue_many by 1,000", "jobs/s", at_least(150_000, 250_000)),
    "enqueue.hundred_awaits_jobs_per_s": Words(
        "100 concurrent awaits of one job each", "jobs/s", at_least(120_000)
    ),
    "pickup.p50_ms_1_idle": Words("1 idle worker, p50", "ms", at_most(0.8, 0.4)),
    "pickup.p99_ms_1_idle": Words("1 idle worker, p99", "ms", at_most(1.5)),
    "pickup.p50_ms_200_idle": Words("200 idle consumers, p50", "ms", at_most(0.8, 0.4)),
    "pickup.p99_ms_200_idle": Words("200 idle consumers, p99", "ms", at_most(1.5)),
    "idle.commands_per_s_of_100_idle_workers": Words("commands of 100 idle workers", "a second", at_most(20)),
    "growth.queued_drain_share": Words(
        "drain rate at 10,000,000 queued jobs, as a share of the best from 10,000 to 1,000,000",
        "",
        at_least(0.9),
    ),
    "growth.delayed_1000000.take_p99_9_ms": Words(
        "take beside 1,000,000 delayed jobs, p99.9", "ms", at_most(5)
    ),
    "growth.connections_wake_ratio": Words(
        "the server's work for a wake with 500 idle workers, as a multiple of that with 1",
        "times",
        at_most(1.1),
    ),
    "growth.servers_cost_ratio": Words("server CPU a job on 4 servers, as a multiple of that on 1", "times"),
    "growth.queued_left_out": Words("sizes that did not fit", ""),
    "profile.worker: processor time, all of it": Words("Python of the worker, a job", "µs", at_most(5)),
}

_UNITS = {
    "_jobs_per_s": "jobs/s",
    "_server_us": "µs of the server",
    "_us": "µs",
    "_ms": "ms",
    "_mb": "MB",
    "_kb": "kB",
    "_bytes": "bytes",
    "_bytes_per_job": "bytes a job",
    "_bytes_per_queue": "bytes a queue",
    "_us_per_job": "µs a job",
}


def words_of(part: str, figure: str) -> Words:
    """What is known of a figure of a part."""
    name = f"{part}.{figure}"
    if name in _WORDS:
        return _WORDS[name]
    if part == "profile":
        return Words(figure, "µs")
    ending = next((ending for ending in _UNITS if figure.endswith(ending)), "")
    text = figure.removesuffix(ending).replace("p99_9", "p99.9").replace("_", " ").strip()
    return Words(text or figure, _UNITS.get(ending, ""))
