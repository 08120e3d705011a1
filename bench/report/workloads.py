"""Words for the figures of the workloads, most of which come in families: of each figure its text, unit, and bounds."""

from __future__ import annotations

from bench.report.asked import Asked, at_least, at_most

__all__ = ["FAMILIES", "Row"]

Row = tuple[str, str, Asked | None]


def _drain() -> dict[str, Row]:
    kinds = {
        "async": "async no-op jobs",
        "sync": "sync no-op jobs",
        "sleep_1ms": "async jobs that wait for 1 ms",
        "cpu_1ms": "sync jobs of 1 ms of CPU",
    }
    asked = {
        "async_1": at_least(60_000, 100_000),
        "async_2": at_least(150_000),
        "sync_1": at_least(40_000, 70_000),
    }
    return {
        f"{kind}_{count}": (
            f"{words}, {count} worker process{'es' if count > 1 else ''}",
            "jobs/s",
            asked.get(f"{kind}_{count}"),
        )
        for kind, words in kinds.items()
        for count in (1, 2, 4)
    }


def _payloads() -> dict[str, Row]:
    forms = {"plain": "as they are", "lz4": "with LZ4", "aes": "with AES-256-GCM"}
    sizes = {"100B": "100 bytes", "1kB": "1 kB", "10kB": "10 kB", "100kB": "100 kB"}
    return {
        f"{form}_{size}_{way}_jobs_per_s": (f"{way}, {length} {words}", "jobs/s", None)
        for form, words in forms.items()
        for size, length in sizes.items()
        for way in ("enqueue", "drain")
    }


def _waiting() -> dict[str, Row]:
    kinds = {
        "sleep_0": "sleep(0)",
        "sleep_1ms": "sleep(1 ms)",
        "failing": "jobs that fail, dead at once",
        "idle": "no jobs",
    }
    rows: dict[str, Row] = {}
    for slots in (10, 100, 1000):
        for kind, words in kinds.items():
            if kind != "idle":
                rows[f"{kind}_{slots}_jobs_per_s"] = (f"{words}, {slots:,} slots", "jobs/s", None)
            late = f"{words}, {slots:,} slots: a timer of 1 ms beside them late, p99"
            rows[f"{kind}_{slots}_timer_late_p99_ms"] = (late, "ms", None if kind == "idle" else at_most(5))
    return rows


def _memory() -> dict[str, Row]:
    states = {
        "pending": "pending",
        "pending_with_record": "pending, with a record",
        "delayed": "delayed",
        "active": "active",
        "dead": "dead, with its traceback",
        "completed": "completed, in the log of the latest",
        "completed_with_result": "completed, its result kept",
    }
    asked = {"pending_bytes": at_most(160, 140)}
    rows: dict[str, Row] = {
        f"{state}_bytes": (
            f"the server's, of a job of 100 bytes that is {words}",
            "bytes",
            asked.get(f"{state}_bytes"),
        )
        for state, words in states.items()
    }
    stages = {
        "mb_when_it_starts": ("a worker process when it starts", "MB"),
        "mb_per_process": ("a worker process after 10,000 jobs", "MB"),
        "mb_after_100_000_jobs": ("a worker process after 100,000 jobs", "MB"),
        "kb_per_slot": ("a further async slot", "kB"),
    }
    own = {
        "mb_per_process": at_most(8, 6),
        "mb_after_100_000_jobs": at_most(6),
        "kb_per_slot": at_most(16, 8),
    }
    for kind, words in (
        ("uss", "of its own (USS)"),
        ("pss", "with its share (PSS)"),
        ("rss", "resident (RSS)"),
    ):
        for stage, (whose, unit) in stages.items():
            rows[f"{kind}_{stage}"] = (f"{whose}, {words}", unit, own.get(stage) if kind == "uss" else None)
    return rows


def _costs() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for policy, words in (("no_aof", "no AOF"), ("everysec", "AOF everysec"), ("always", "AOF always")):
        rows[f"{policy}_raw_server_us"] = (
            f"{words}: server CPU of the raw commands of a life",
            "µs a job",
            None,
        )
        for kind, result in (("no_result", "without a result"), ("result", "result kept")):
            name, whose = f"{policy}_{kind}", f"{words}, {result}"
            asked = at_most(1.3) if name == "everysec_no_result" else None
            rows |= {
                f"{name}_server_us": (f"{whose}: server CPU of a life", "µs a job", None),
                f"{name}_times_raw": (f"{whose}: the same as a multiple of the raw commands", "times", asked),
                f"{name}_calls_per_job": (f"{whose}: calls sent", "a job", None),
                f"{name}_commands_per_job": (
                    f"{whose}: commands executed, also those inside functions",
                    "a job",
                    None,
                ),
            }
    return rows


FAMILIES: dict[str, dict[str, Row]] = {
    "drain": _drain(),
    "steady": {
        "jobs_per_s": ("the rate that both hold", "jobs/s", None),
        "backlog_at_90_percent": ("jobs that wait at 90 % of that rate, over time", "jobs", None),
        "kept_up_at_90_percent": ("jobs run for each that was put in at 90 %", "", None),
    },
    "load": {
        "drain_jobs_per_s": ("jobs that wait for 1 ms, in 10 slots: 100 % load", "jobs/s", None),
        "50_percent_p50_ms": ("enqueue to start at 50 % load, p50", "ms", None),
        "50_percent_p99_ms": ("enqueue to start at 50 % load, p99", "ms", None),
        "90_percent_p50_ms": ("enqueue to start at 90 % load, p50", "ms", None),
        "90_percent_p99_ms": ("enqueue to start at 90 % load, p99", "ms", None),
    },
    "lateness": {
        "spread_p50_ms": ("1,000 jobs due over 5 s: late, p50", "ms", None),
        "spread_p99_ms": ("1,000 jobs due over 5 s: late, p99", "ms", at_most(5)),
        "crowd_all_started_ms": ("100,000 jobs due at once: until the last has started", "ms", None),
        "beside_the_crowd_p50_ms": ("others, due in the second after the 100,000: late, p50", "ms", None),
        "beside_the_crowd_p99_ms": ("others, due in the second after the 100,000: late, p99", "ms", None),
        "urgent_beside_the_crowd_p50_ms": ("urgent ones, due in that second: late, p50", "ms", None),
        "urgent_beside_the_crowd_p99_ms": ("urgent ones, due in that second: late, p99", "ms", None),
    },
    "retries": {
        "jobs_per_s": ("jobs that fail, are tried again at once, and pass", "jobs/s", None),
        "times_longer_than_a_pass": ("their time as a multiple of that of no-op jobs", "times", None),
    },
    "priorities": {
        "urgent_p50_ms": ("urgent jobs beside 100,000 low ones of 1 ms: enqueue to start, p50", "ms", None),
        "urgent_p99_ms": ("urgent jobs beside 100,000 low ones of 1 ms: enqueue to start, p99", "ms", None),
        "urgent_jobs": ("urgent jobs that were put in", "jobs", None),
        "last_low_ms": ("until the last low one was taken", "ms", None),
    },
    "payloads": _payloads(),
    "waiting": _waiting(),
    "recovery": {
        "process_killed_first_ms": (
            "a process is killed: until the first of its jobs begins again",
            "ms",
            None,
        ),
        "process_killed_all_ms": ("a process is killed: until all of its jobs have begun again", "ms", None),
        "host_killed_first_ms": ("its supervisor too, lease 30 s: until the first begins again", "ms", None),
        "host_killed_all_ms": ("its supervisor too, lease 30 s: until all 20 have begun again", "ms", None),
    },
    "memory": _memory(),
    "costs": _costs(),
    "lanes": {
        "drain_plain": ("plain jobs, one worker process, beside the next two", "jobs/s", None),
        "drain_deep": ("jobs of 10 deep lanes with a bucket", "jobs/s", None),
        "drain_own": ("jobs of as many lanes, with a bucket", "jobs/s", None),
        "deep_of_plain": ("deep lanes: share of the plain rate", "times", at_least(0.6)),
        "own_of_plain": ("lanes of one job: share of the plain rate", "times", at_least(0.4)),
        "deep_bytes": ("server memory of a job of 100 bytes in a deep lane", "bytes", at_most(280)),
        "own_bytes": ("server memory of a job of 100 bytes in a lane of its own", "bytes", at_most(380)),
        "empty_take_commands": ("commands of a take on an empty queue that knows limits", "commands", None),
        "closed_take_commands": ("the same beside 10,000 lanes without tokens", "commands", None),
        "empty_take_ms": ("a take on that empty queue, p50", "ms", None),
        "closed_take_ms": ("the same beside 10,000 lanes without tokens, p50", "ms", None),
        "million_take_p50_ms": ("takes of 100 among a million jobs in 100,000 lanes, p50", "ms", None),
        "million_take_p99_9_ms": ("the same, p99.9", "ms", at_most(5)),
        "million_enqueue_p50_ms": ("enqueues of 100 into 100 of those lanes, p50", "ms", None),
        "million_enqueue_p99_ms": ("the same, p99", "ms", at_most(5)),
        "silent_commands_per_s_a_worker": (
            "commands of a worker beside 10,000 lanes that are closed",
            "commands/s",
            at_most(2),
        ),
    },
}
