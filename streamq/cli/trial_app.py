"""The App of ``streamq test``: jobs that compute, wait, fail once, and give up, so that a run shows all of it."""

from __future__ import annotations

import asyncio
import hashlib

from streamq.app import App
from streamq.context import Context
from streamq.outcomes import Dead

__all__ = ["QUEUE", "app", "checksum", "flaky", "hopeless", "pause"]

QUEUE = "streamq-test"
app = App()


@app.task(queue=QUEUE)
def checksum(number: int) -> str:
    """Computes a little, in a thread."""
    return hashlib.sha256(b"%d" % number).hexdigest()


@app.task(queue=QUEUE)
async def pause(milliseconds: int) -> None:
    """Waits, as for a network."""
    await asyncio.sleep(milliseconds / 1000)


@app.task(queue=QUEUE, backoff=0.1)
async def flaky(ctx: Context) -> None:
    """Fails at first, and succeeds when it is tried again."""
    if ctx.attempt == 1:
        raise ConnectionError("the first attempt always fails here")


@app.task(queue=QUEUE)
async def hopeless() -> None:
    """Gives up at once."""
    raise Dead("this one is meant to end in the dead letters")
