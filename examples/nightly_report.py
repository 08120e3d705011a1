"""A nightly report in a time zone: the nights in which the clock changes, nights that were missed, a run by hand.

``streamq work nightly_report``, then ``python nightly_report.py``, which prints::

    every day at 02:30 Europe/Rome
    report of 2026-03-28 02:30 +0100
    report of 2026-03-29 03:00 +0200
    report of 2026-03-30 02:30 +0200
    added by the same backfill again: 0
    by hand: report of today
    acme: every weekday at 09:00 America/New_York, by the api
"""

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from streamq import App, Context, Event, ScheduleNotFound

app = App()
ROME = ZoneInfo("Europe/Rome")


@app.schedule(
    "every day at 2:30am Europe/Rome",  # on 29 March 2026 that time does not exist there
    name="nightly",
    gap="shift",  # then: just after the change, at 03:00
    fold="first",  # and in October, when it comes twice: the first time
    missed="latest",  # after an outage, the latest night only
    overlap="queue",  # a report that takes all day is not joined by the next one
    grace="2h",  # not complete by then: schedule.missed is told
)
@app.task
async def report(ctx: Context) -> str:
    """``ctx.scheduled_at`` is the time that it is for, however late it runs."""
    assert ctx.scheduled_at is not None
    local = ctx.scheduled_at.astimezone(ROME)
    return "today" if local.date() >= datetime.now(ROME).date() else f"{local:%Y-%m-%d %H:%M %z}"


@app.task
async def digest(customer: str) -> None:
    """For one customer; a schedule for each of them is put in while the program runs."""


@app.on("schedule.missed")
def alert(event: Event) -> None:
    print(f"{event.fields['schedule']} did not run for {event.fields['scheduled_at']}: {event.fields['why']}")


if __name__ == "__main__":
    nightly = app.schedules.named("nightly")
    while True:  # the worker declares it when it starts
        try:
            print(nightly.info().words.partition(";")[0])
            break
        except ScheduleNotFound:
            time.sleep(0.05)

    nights = datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    for job in nightly.backfill(*nights):
        print("report of", job.result(timeout=20))
    print("added by the same backfill again:", len(nightly.backfill(*nights)))
    print("by hand: report of", nightly.run().result(timeout=20))

    acme = app.schedules.put("every weekday at 9am America/New_York", digest.call("acme"), name="acme")
    info = acme.info()
    print(f"{info.name}: {info.words.partition(';')[0]}, by the {info.source}")
    acme.remove()
