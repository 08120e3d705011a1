"""The app that is maltreated. Each run of a job leaves a line in a list, so that every run is seen, also a repeated one."""

from __future__ import annotations

import asyncio
import os
import random
import time

import redis

from streamq import App, Context

app = App()
_ledger: redis.Redis | None = None


def ledger() -> redis.Redis:
    """The connection that writes down what runs; one for a process."""
    global _ledger
    if _ledger is None:
        _ledger = redis.Redis.from_url(os.environ["STREAMQ_URL"])
    return _ledger


@app.task(attempts=20, backoff=0.05)
async def count(ctx: Context, number: int) -> None:
    """Write down that it ran, wait a little, fail sometimes."""
    ledger().rpush("ledger", f"{number} {ctx.fence} {os.getpid()}")
    await asyncio.sleep(random.random() * 0.004)
    if random.random() < 0.02:
        raise ValueError("by chance")


@app.task(attempts=20, backoff=0.05)
def count_sync(ctx: Context, number: int) -> None:
    """The same in a thread."""
    ledger().rpush("ledger", f"{number} {ctx.fence} {os.getpid()}")
    time.sleep(random.random() * 0.004)
