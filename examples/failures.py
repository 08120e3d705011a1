"""What a handler can say, and what becomes of a job that fails: retries, snooze, dead letters, and a second chance.

``streamq work failures``, then ``python failures.py``, which prints::

    flaky succeeded at attempt 3
    early succeeded at attempt 1
    dead: the card is stolen
    the second chance: charged good
"""

from streamq import App, Backoff, Context, Dead, JobFailed, Retry, Snooze

app = App()


@app.task(attempts=5, backoff=Backoff(first=0.1))
async def flaky(ctx: Context) -> str:
    """Anything that is raised is a failure: again after a growing pause, ``attempts`` times in all."""
    if ctx.attempt == 1:
        raise ConnectionError("the service is away")
    if ctx.attempt == 2:
        raise Retry("100ms", reason="it told us when to come back")
    return f"flaky succeeded at attempt {ctx.attempt}"


@app.task
def early(ctx: Context, ready_at: float) -> str:
    """A snooze is no failure: the job comes again later, and no attempt is spent."""
    import time

    if time.time() < ready_at:
        raise Snooze("200ms")
    return f"early succeeded at attempt {ctx.attempt}"


@app.task
def charge(card: str) -> str:
    """Some failures are final: no retry, at once into the dead letters."""
    if card == "stolen":
        raise Dead("the card is stolen")
    return f"charged {card}"


if __name__ == "__main__":
    import time

    print(flaky.enqueue().result(timeout=20))
    print(early.enqueue(time.time() + 0.3).result(timeout=20))

    job = charge.enqueue("stolen")
    try:
        job.result(timeout=20)
    except JobFailed as failure:  # type, text and traceback as data; nothing is imported by name
        print("dead:", failure.text)

    print("the second chance:", job.retry(charge.call("good")).result(timeout=20))
