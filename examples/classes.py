"""A task as a class: one instance in each worker process, a typed ``handle``, and hooks around it.

``streamq work classes``, then ``python classes.py``, which prints::

    HELLO
    failed: ValueError: nothing to shout
"""

from streamq import App, Context, JobFailed

app = App()


class Shout:
    """Any class with a ``handle`` method. What is dear to make is made once, in ``__init__``."""

    def __init__(self) -> None:
        self.upper = str.upper

    async def handle(self, text: str) -> str:
        if not text:
            raise ValueError("nothing to shout")
        return self.upper(text)

    async def started(self, ctx: Context) -> None:
        ctx.log.info("about to shout")

    async def completed(self, ctx: Context, result: str) -> None:
        ctx.log.info("shouted", length=len(result))

    async def failed(self, ctx: Context, error: BaseException) -> None:
        ctx.log.warning("could not shout", error=str(error))


shout = app.add(Shout, attempts=1)


if __name__ == "__main__":
    print(shout.enqueue("hello").result(timeout=10))
    try:
        shout.enqueue("").result(timeout=10)
    except JobFailed as failure:
        print(f"failed: {failure.type_name}: {failure.text}")
