"""The smallest program: tasks, jobs, a result.

In one terminal: ``streamq work hello``; in another: ``python hello.py``. It prints::

    2 + 3 = 5
"""

from streamq import App, Context

app = App()  # STREAMQ_URL, else the embedded server of this project folder


@app.task(result_ttl="10m")  # keep the result for who asks later; by default for a minute
def add(left: int, right: int) -> int:
    return left + right


@app.task(queue="mail", attempts=8, timeout="30s")
async def send_email(ctx: Context, to: str, template: str = "welcome") -> None:
    ctx.progress(0.5, "half way")


if __name__ == "__main__":
    send_email.using(delay="5m", priority="high").enqueue("a@b.c")
    print("2 + 3 =", add.enqueue(2, 3).result(timeout=10))
