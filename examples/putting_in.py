"""Ways of putting jobs in: later, urgent, once, tagged, many at a time.

``streamq work putting_in`` and ``python putting_in.py``, which prints::

    not before 0.5 s: True
    one job for one address: True
    a thousand in one call: 1000
    send() got an unexpected keyword argument 'too'. Did you mean 'to'? It takes (to, text='welcome'). Nothing was sent.
"""

import time

from streamq import App, Unique, WrongCall

app = App()


@app.task(queue="mail", result_ttl="10m", tags=["mail"])
def send(to: str, text: str = "welcome") -> float:
    return time.time()


if __name__ == "__main__":
    start = time.time()
    later = send.using(delay=0.5, priority="high").enqueue("a@b.c")
    print("not before 0.5 s:", later.result(timeout=10) - start >= 0.5)

    once = send.using(delay="1h", unique=Unique(by="to"))
    print("one job for one address:", once.enqueue("x@b.c") == once.enqueue("x@b.c", "hello again"))
    once.enqueue("x@b.c").cancel()

    many = app.enqueue_many(send.call(f"{number}@b.c") for number in range(1_000))
    print("a thousand in one call:", len(many))

    try:
        send.enqueue(too="a@b.c")  # type: ignore[call-arg]
    except WrongCall as error:
        print(error)
