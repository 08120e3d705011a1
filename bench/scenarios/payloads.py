"""Payloads of 100 bytes to 100 kB, as they are, compressed with LZ4, and sealed with AES-256-GCM: in and out again."""

from __future__ import annotations

import base64
import random
from typing import Any

from bench.ground import Run, idle_fleet, middle
from bench.jobs import noop
from bench.loads import on, rates

ROUNDS = 3
SIZES = {"100B": (100, 15_000), "1kB": (1_000, 15_000), "10kB": (10_000, 3_000), "100kB": (100_000, 600)}
NEVER = 2**22  # bytes above which compression is tried: more than a payload may have
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"compress_above": NEVER},
    "lz4": {"compress_above": 0},
    "aes": {"compress_above": NEVER, "keys": "k1:" + base64.b64encode(bytes(range(32))).decode()},
}


def measure(run: Run) -> dict[str, object]:
    """Jobs/s by form and size: put in by thousands or 4 MiB, and drained by one worker process."""
    figures: dict[str, object] = {}
    for form, settings in FORMS.items():
        environment = {f"STREAMQ_{name.upper()}": str(value) for name, value in settings.items()}
        run.server.flush()
        with run.app(**settings) as app, idle_fleet(run, app, environment=environment):
            for size, (length, full) in SIZES.items():
                call = on(app, noop).call(text(length))
                found = [rates(app, call, run.size(full)) for _ in range(ROUNDS)]
                figures |= {
                    f"{form}_{size}_enqueue_jobs_per_s": middle([each.enqueue for each in found]),
                    f"{form}_{size}_drain_jobs_per_s": middle([each.drain for each in found]),
                }
    return figures


def text(length: int) -> str:
    """Words by chance, the same ones always: LZ4 makes them about half as long."""
    chance = random.Random(length)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(500)]
    return " ".join(chance.choices(words, k=length))[:length]
