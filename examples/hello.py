"""The smallest program: a task, a job, its result.

In one terminal: ``streamq work hello``; in another: ``python hello.py``. It prints::

    2 + 3 = 5
"""

from streamq import App

app = App()  # STREAMQ_URL, else the embedded server of this project folder


@app.task(result_ttl="10m")  # keep the result for who asks later; who waits already gets it anyway
def add(left: int, right: int) -> int:
    return left + right


if __name__ == "__main__":
    job = add.enqueue(2, 3)
    print("2 + 3 =", job.result(timeout=10))
