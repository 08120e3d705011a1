"""The app that the measurements run: jobs that do nothing, so that all that is left is the queue."""

from __future__ import annotations

import asyncio
import os
import time
from functools import cache

import redis

from streamq import App

app = App()


@cache
def _ledger() -> redis.Redis:
    return redis.Redis.from_url(os.environ["STREAMQ_URL"])


@app.task
async def noop(text: str) -> None:
    """Nothing, on the loop."""


@app.task
def noop_sync(text: str) -> None:
    """Nothing, in a thread."""


@app.task
async def pause(seconds: float) -> None:
    """Wait on the loop."""
    await asyncio.sleep(seconds)


@app.task
async def stamp(sent: float) -> None:
    """How long after ``sent`` (time.time()) it was started, in ms, on a list."""
    late = (time.time() - sent) * 1e3
    _ledger().rpush("bench:late", f"{late:.4f}")
