"""Whatever a server answers: a call reads it, or says in words what came. A foreign library must not look like a bug of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamq.errors import ProtocolError
from streamq.protocol import (
    Call,
    consume,
    control,
    flows,
    inspect,
    journal,
    limits,
    results,
    schedules,
    strikes,
)
from streamq.protocol.enqueue import NewJob, enqueue

A = "sq:{mail}"
JOBS = [NewJob("send", b"x", level) for level in (5, 5, 9)]
RUN = journal.Delivery(A, "c1", 0, "5", "1-1", "5-1-1")
STEP = [3, b"10", b"77"]
GOOD: list[tuple[Call[Any], Any]] = [
    (enqueue(A, 0, "-", 0, 0, JOBS), [b"10-0 2 11-4 1", [1, b"5-9-9"]]),
    (consume.register(A, 0, 1), [b"c1", b"10", b"20"]),
    (consume.take(A, 0, "c1", 0, 5), [b"clean", 1, 2, b"9", 0, [b"5", b"1-1"], [], [b"cancel 5 1-1"], 0, [b"5", []], []]),
    (consume.finish(A, 0, "c1", 0, ()), [b"clean", [b"5", b"1-1"], [b"5", b"1-2"]]),
    (consume.adopt(A, 0, "c1", 2), [b"clean", [], 1, 2, b"9"]),
    (consume.renew(A, 0, 1, ["c1", "c2"]), [0, b"ok", b"gone"]),
    (consume.abandon(A, 0, "c1"), 1),
    (consume.retire(A, 0, "c1"), 1),
    (consume.recover(A, 0), 1),
    (consume.progress(A, 0, "c1", 0, ("5", "1-1"), "5-1-1", ()), 1),
    (consume.report(A, 0, [("n", 1)]), 1),
    (results.wait(A, 0, "5-1-1", "k"), [b"completed", b"\x01\xc0"]),
    (results.unwait(A, 0, "5-1-1", "k"), 1),
    (control.pause(A, 0), 1),
    (control.resume(A, 0), 1),
    (control.cancel(A, 0, "5-1-1"), b"GONE"),
    (control.promote(A, 0, "5-1-1"), 1),
    (control.retry(A, 0, "5-1-1"), 1),
    (control.retry_step(A, 0), STEP),
    (control.purge_step(A, 0, "dead"), STEP),
    (control.drop(A, 0, "5-1-1"), 1),
    (control.remove(A, 0), 1),
    (inspect.stats(A), [b"pending", 5, b"paused", b"0"]),
    (inspect.job(A, 0, "5-1-1"), [b"state", b"dead"]),
    (inspect.explain(A, 0, "5-1-1"), [b"pending", b"it waits"]),
    (inspect.list_jobs(A, 0, "dead"), [b"", [b"5-1-1", b"task", b"send"], [b"5-1-2"]]),
    (inspect.workers(A), [[b"c1", b"clean", 5, -1, 2, b"host"]]),
    (inspect.minutes(A, 0, 1, 2), [[b"29", b"ended:send:completed", b"4"]]),
    (inspect.conservation(A), [0, b"enqueued", b"5"]),
    (inspect.audit(A), [b"1700000000000 anna@host: paused the queue: why"]),
    (control.signal(A, 0, "5-1-1", "approved", b"x"), b"SENT"),
    (inspect.journal(A, 0, "5-1-1"), [b"step charge", b"x", b"bytes", b"1"]),
    (journal.asked(RUN, journal.recall()), [b"step charge", b"x"]),
    (journal.asked(RUN, journal.journal("step charge", b"x")), 1),
    (journal.asked(RUN, journal.await_("signal", "approved", None, fails=True)), [b"value", b"x"]),
    (limits.declare_some(A, 0, [("openai", "rate=5")]), 1),
    (limits.override_first(A, 0, "tenant:*", "slots=2", "anna"), b"17"),
    (limits.unset_first(A, 0, "tenant:*", "anna"), b""),
    (limits.wake_step(A, 0, "tenant:*", "17"), b""),
    (limits.stop(A, 0, "openai", 1000, "anna"), 1),
    (limits.reset(A, 0, "openai", "anna"), 1),
    (limits.acquire(A, 0, [("openai", "2.5")]), [0, 400, b"openai"]),
    (limits.spent(A, 0, "openai", "-3"), b"17.5"),
    (limits.limits_page(A, 0), [b"s0", [b"openai", b"rate=5", b"rate=5", b"", b"3.5", 1, 2, 300, 4, 0, b"closed"]]),
    (limits.limit(A, 0, "openai"), [b"name", b"openai", b"held_by", b"5-1-1"]),
    (limits.lanes_page(A, 0), [b"", [b"5", b"tenant:acme|openai*", 3, 1200, b"ring", b"2.5"]]),
    (schedules.put(A, 0, "s", "api", (5, 6), {"task": "send"}), 1),
    (schedules.pause(A, 0, "s"), 1),
    (schedules.resume(A, 0, "s", None), 1),
    (schedules.remove(A, 0, "s"), 1),
    (schedules.read(A, 0, ["s", "t"]), [17, [b"s", b"task", b"send"], [b"t"]]),
    (schedules.list_schedules(A, 0), [17, b"2", [b"s", b"task", b"send"]]),
    (schedules.tick(A, 0, "s", {"revision": b"1"}, None, None, 5, JOBS[0]), [b"added", b"5-1-1"]),
    (schedules.fire(A, 0, "s", 5, JOBS[0]), [b"skipped", b"job 5-1-0 goes on"]),
    (schedules.checked(A, 0, "s", 5), 1),
    (schedules.offer(A, 0, "shop", "d"), [b"apply", 17]),
    (schedules.keep(A, 0, "shop", "d", ["s"]), 2),
    (flows.reserve(A, 0, 2), b"17-3"),
    (flows.open_flow(A, 0, "order", 1000, 2), b"17-3"),
    (flows.describe(A, 0, "0-17-3", [("main", "mail-5-1-1", "[]")]), 1),
    (flows.commit(A, 0, "0-17-3"), 1),
    (flows.cancel_step(A, 0, "0-17-3"), b"17"),
    (flows.revive(A, 0, [("5-1-1", "-")]), 1),
    (flows.flow(A, 0, "0-17-3"), [b"name", b"order", b"state", b"running"]),
    (flows.flows(A, 0), [b"", [b"id", b"0-17-3", b"name", b"order"]]),
    (flows.jobs_page(A, 0, "0-17-3"), [b"17", [b"mail-5-1-1", b"main", b"[]", b"-skipped", b"18", b"0"]]),
    (flows.outbox(A, 0), [b"17-4", b"post", b"close", b"mail-5-1-1", b"completed", b"r", b"post-5-1-1"]),
    (flows.hear(A, 0, [flows.Message("17-4", "mail", (b"cancel", b"mail-5-1-1", b"-", b"", b""))]), 1),
    (flows.relayed(A, 0, [flows.Message("17-4", "post", ())]), 0),
    (strikes.strike(A, 0, "s1", "send", {}, {}), 1),
    (strikes.unstrike(A, 0, "s1"), 1),
    (strikes.strikes(A), [[b"s1", 3, b"task", b"send", b"at", b"17", b"until", b"18", b"where to", b"x"]]),
]  # fmt: skip
JUNK: list[Any] = [
    None,
    b"",
    b"x",
    b"5",
    b"\xff 1",
    "odd",
    7,
    -1,
    10**30,
    1.5,
    float("inf"),
    True,
    [],
    [[]],
    [b"a", [None]],
    {},
    {b"a": []},
]


def altered(reply: Any, draw: Any) -> Any:
    """The reply with one of its parts missing, twice there, or something else."""
    what = draw(
        st.sampled_from(
            ["inside", "missing", "twice", "other"] if isinstance(reply, list) and reply else ["other"]
        )
    )
    if what == "other":
        return draw(st.sampled_from(JUNK))
    place = draw(st.integers(0, len(reply) - 1))
    kept = {"missing": [], "twice": [reply[place]] * 2}.get(what)
    return [*reply[:place], *([altered(reply[place], draw)] if kept is None else kept), *reply[place + 1 :]]


@pytest.mark.parametrize(("call", "reply"), GOOD, ids=[call.function for call, _ in GOOD])
@settings(deadline=None)
@given(data=st.data())
def test_a_reply_of_any_form_is_read_or_is_a_protocol_error(
    call: Call[Any], reply: Any, data: st.DataObject
) -> None:
    assert call.read(reply) is not None
    odd = reply
    for _ in range(data.draw(st.integers(1, 3))):
        odd = altered(odd, data.draw)
    with suppress(ProtocolError):
        call.read(odd)


def functions() -> Iterator[str]:
    for file in (Path(__file__).parents[2] / "lua").glob("*.lua"):
        yield from re.findall(r"^sq\.register\('(\w+)'", file.read_text(), re.MULTILINE)


def test_every_function_of_the_library_has_a_call_here() -> None:
    assert {call.function for call, _ in GOOD} == set(functions())


@pytest.mark.parametrize(
    "runs",
    [
        "10-0 2",
        "10-0 4",
        "10-0 3 11-0 1",
        "10-0 2 11-0",
        "10-0 -1 11-0 4",
        "10 3",
        "a-b 3",
        "10-0 999999999999",
    ],
)
def test_ids_that_do_not_fit_the_jobs_are_refused_with_what_came(runs: str) -> None:
    call = enqueue(A, 0, "-", 0, 0, JOBS)
    assert call.read([b"10-0 3", []]).ids == ["5-10-0", "5-10-1", "9-10-2"]
    with pytest.raises(ProtocolError, match="the server answered"):
        call.read([runs.encode(), []])


@pytest.mark.parametrize("place", [b"3", b"-1", b"x"])
def test_a_conflict_of_no_job_is_refused(place: bytes) -> None:
    with pytest.raises(ProtocolError, match="the server answered"):
        enqueue(A, 0, "-", 0, 0, JOBS).read([b"10-0 3", [place, b"5-9-9"]])


@pytest.mark.parametrize("pushed", [b"", b"5-1-1", b"5-1-1 completed"])
def test_a_pushed_answer_of_another_form_is_refused(pushed: bytes) -> None:
    with pytest.raises(ProtocolError, match="a pushed answer"):
        results.read_push(pushed)


def test_a_pushed_answer_that_is_no_text_is_read_as_one_of_an_unknown_job() -> None:
    assert results.read_push(b"\xff \xfe x")[0] == "\ufffd"
