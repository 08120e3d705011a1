"""Real worker processes under a supervisor: what they do, and what must hold when they are killed, stopped or stuck."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from crew import Crew, until
from servers import Server, free_port
from streamq.app import App
from streamq.errors import ConfigError, JobFailed
from streamq.worker import run
from streamq.worker.page import CONSUMERS
from streamq.worker.process import Exit

OTHER_LOOPBACK = "127.0.0.2"  # an address of this machine at which nobody should listen


def stats(app: App) -> dict[str, int]:
    return {name: int(value) for name, value in app.run(app.queue().stats()).items()}


def is_balanced(app: App) -> bool:
    return stats(app)["active"] == stats(app)["pending"] == 0


def test_jobs_of_all_kinds_run_and_their_results_come_back(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, workers=2):
        assert yard.add.enqueue(1, 2).result(timeout=10) == 3
        assert yard.add_in_thread.enqueue(3, 4).result(timeout=10) == 7
        assert yard.isolated.enqueue("apart", 0).result(timeout=10) != os.getpid()
        with pytest.raises(JobFailed) as failed:
            yard.fails.enqueue("no such order").result(timeout=10)
        assert (failed.value.type_name, failed.value.text) == ("ValueError", "no such order")
        assert "yard.py" in failed.value.traceback
        assert "worker/bench.py" not in failed.value.traceback
        assert is_balanced(yard.app)


def test_a_job_whose_process_is_killed_runs_again_and_its_neighbours_are_not_blamed(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        job = yard.nap_twice_short.enqueue("killed", 60)
        until(crew.begun("killed"))
        [child] = crew.children()
        waiting = [yard.add.enqueue(i, i) for i in range(50)]
        child.kill()
        assert [job.result(timeout=10) for job in waiting] == [2 * i for i in range(50)]
        assert job.result(timeout=10) is None
        assert len(crew.lines("begin", "killed")) == 2
        assert stats(yard.app)["dead"] == 0


@pytest.mark.parametrize(
    ("poison", "how"), [("exits", "exit code 3"), ("segfaults", "SIGSEGV"), ("crashes_late", "SIGABRT")]
)
def test_a_poison_job_is_dead_after_three_deaths_alone_and_innocent_ones_complete(
    poison: str, how: str, valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        neighbours = [yard.nap.enqueue(f"n{i}", 0.3) for i in range(5)]
        job = getattr(yard, poison).enqueue("poison")
        with pytest.raises(JobFailed, match=f"died 3 times while it ran alone; the last time: {how}"):
            job.result(timeout=25)
        assert [neighbour.result(timeout=15) for neighbour in neighbours] == [f"n{i}" for i in range(5)]
        until(lambda: is_balanced(yard.app))
        assert (stats(yard.app)["dead"], stats(yard.app)["completed"]) == (1, 5)
        assert len(crew.lines("begin", "poison")) == 4
        until(crew.heard("job.dead", job.id, poison))
        [told] = crew.logged("job.dead")
        assert (told["job"], told["task"], told["reason"]) == (job.id, poison, "poison")
        until(crew.heard("worker.lost", "None", "None", job.id))
        assert {job.id: poison} in [lost["suspects"] for lost in crew.logged("worker.lost")]


def test_observers_that_exit_end_no_process_and_convict_no_job(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, env={"OBSERVERS_EXIT": "1"}) as crew:
        failing, poison = yard.fails.enqueue("no"), yard.segfaults.enqueue("s")
        until(crew.heard("job.dead", failing.id))
        until(crew.heard("job.dead", poison.id))
        assert yard.add.enqueue(1, 2).result(timeout=20) == 3
        assert stats(yard.app)["dead"] == 2
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0


def test_a_worker_without_file_descriptors_still_ends_what_is_late(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, memory=2**31) as crew:
        yard.uses_up_all_descriptors.enqueue()
        until(lambda: crew.logged("worker.look_failed"), what="a look at the memory")
        with pytest.raises(JobFailed, match=r"ran longer than 0\.2 s"):
            yard.sleeps_too_long.enqueue().result(timeout=10)
        assert not crew.logged("worker.lost")
        assert len(crew.logged("worker.look_failed")) == 1


def test_a_process_whose_deadlines_nobody_keeps_any_more_ends_as_failed_and_what_did_it_is_poison(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        with pytest.raises(JobFailed, match="died 3 times while it ran alone; the last time: exit code 1"):
            yard.cancels_the_ticker.enqueue("bad").result(timeout=20)
        assert len(crew.logged("worker.failed")) == 4
        assert yard.add.enqueue(1, 2).result(timeout=10) == 3


def test_a_job_that_lost_its_workers_too_often_is_told_of(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    run, queue = yard.app.run, yard.app.queue("default")
    with Crew(valkey, tmp_path, lease=1) as crew:
        until(lambda: stats(yard.app)["idle"] == 1)
        crew.signal(signal.SIGUSR1)
        until(lambda: stats(yard.app)["idle"] == 0)
        job = yard.add.enqueue(1, 2)
        for _ in range(10):
            gone = run(queue.register(100)).consumer
            taken = run(queue.pop(gone, 1, isolate=1))
            assert taken.groups or taken.alone
            until(lambda gone=gone: run(queue.recover()) or gone not in str(run(queue.workers())))
        until(crew.heard("job.dead", job.id, "add"))
        [told] = crew.logged("job.dead")
        assert (told["reason"], told["error"]) == ("lost", "Lost: its worker was lost 10 times while it ran")


def test_no_exit_code_of_a_handler_ends_the_workers(valkey: Server, tmp_path: Path, yard: ModuleType) -> None:
    codes = (Exit.STOPPED, Exit.FAILED, Exit.MISCONFIGURED, Exit.WORN, Exit.EMPTY)
    with Crew(valkey, tmp_path) as crew:
        for code in codes:
            job = yard.exits_with.enqueue("poison", int(code))
            with pytest.raises(JobFailed, match=f"the last time: exit code {code:d}"):
                job.result(timeout=20)
        assert yard.add.enqueue(1, 2).result(timeout=10) == 3
        assert len(crew.logged("worker.lost")) == 4 * len(codes)


def test_a_burst_does_not_end_before_what_a_crash_left_behind_is_done(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    yard.app.enqueue_many(
        [yard.blocks_then_crashes_once.call("crash", 1.0), *(yard.add.call(i, i) for i in range(5))]
    )
    with Crew(valkey, tmp_path, workers=2, burst=True) as crew:
        assert crew.wait() == 0
        assert len(crew.logged("worker.lost")) == 1
    assert (stats(yard.app)["completed"], stats(yard.app)["active"]) == (6, 0)


def test_a_handler_that_holds_the_interpreter_is_killed_and_its_neighbours_are_fine(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, workers=2) as crew:
        neighbours = [yard.nap.enqueue(f"n{i}", 0.1) for i in range(10)]
        job = yard.holds_the_interpreter.enqueue("holder")
        until(crew.begun("holder"))
        assert [neighbour.result(timeout=20) for neighbour in neighbours] == [f"n{i}" for i in range(10)]
        assert yard.add.enqueue(1, 1).result(timeout=20) == 2
        with pytest.raises(JobFailed):
            job.result(timeout=30)
        assert crew.logged("worker.killed")
        assert all("past its deadline" in lost["why"] for lost in crew.logged("worker.lost"))
        assert all(job.id in lost["suspects"] for lost in crew.logged("worker.lost"))


def test_what_a_stuck_process_has_not_begun_is_given_to_others_and_what_it_runs_completes_once(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    calls = [yard.holds_it_for.call("holder", 9), *(yard.add.call(i, i) for i in range(20))]
    jobs = yard.app.enqueue_many(calls)
    with Crew(valkey, tmp_path, workers=1) as first:
        until(first.begun("holder"))
        with Crew(valkey, tmp_path, workers=1):
            assert [job.result(timeout=8) for job in jobs[1:]] == [2 * i for i in range(20)]
            assert len(first.lines("begin", "holder")) == 1
            assert jobs[0].result(timeout=10) == "holder"
            until(lambda: is_balanced(yard.app))
            assert stats(yard.app)["completed"] == 21


@pytest.mark.parametrize(
    ("hung", "layers"), [("deaf", ""), ("deaf", "1"), ("swallows", ""), ("swallows", "1")]
)
def test_a_handler_that_cannot_be_ended_has_failed_its_neighbours_finish_and_its_process_is_replaced(
    hung: str, layers: str, valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, timeout=15, env={"LAYERS": layers}) as crew:
        [before] = crew.children()
        neighbour = yard.nap.enqueue("neighbour", 9)
        job = getattr(yard, hung).enqueue("hung")
        with pytest.raises(JobFailed, match=r"it ran longer than 0\.2 s and could not be ended"):
            job.result(timeout=20)
        assert yard.add.enqueue(1, 1).result(timeout=10) == 2
        assert not crew.lines("end", "neighbour")
        assert neighbour.result(timeout=10) == "neighbour"
        assert len(crew.lines("begin", "neighbour")) == 1
        [worn] = crew.logged("worker.worn")
        assert (worn["job"], worn["task"]) == (job.id, hung)
        until(lambda: before.pid not in {child.pid for child in crew.children()})
        assert len(crew.lines("begin", "hung")) == 1
        assert not crew.logged("worker.lost")


def test_a_worker_that_cannot_start_ends_with_a_code_and_says_why(valkey: Server, tmp_path: Path) -> None:
    crew = Crew(valkey, tmp_path, env={"FAIL_AT_START": "no such model"})
    try:
        crew.launch()
        assert crew.wait() == 1
        assert "no such model" in crew.log.read_text()
    finally:
        crew.stop()


def test_a_server_that_is_away_is_not_said_again_and_again(tmp_path: Path) -> None:
    with Server("valkey") as server, Crew(server, tmp_path, lease=1) as crew:
        until(lambda: server.raw.zcard("sq:{default}:idle"))
        server.kill()
        until(lambda: crew.logged("worker.fenced") and crew.logged("supervisor.leases_not_renewed"))
        assert len(crew.logged("supervisor.leases_not_renewed")) == 1
        assert len(crew.logged("worker.connection_lost")) == 1


def test_where_no_more_threads_can_be_made_jobs_share_those_that_there_are(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, env={"MOST_THREADS": "4"}) as crew:
        jobs = yard.app.enqueue_many([yard.nap_in_thread.call(0.05) for _ in range(40)])
        assert [job.result(timeout=20) for job in jobs] == [None] * 40
        assert len(crew.logged("worker.no_more_threads")) == 1
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        assert not crew.logged("worker.left_unsettled")
        assert "Traceback" not in crew.log.read_text()


def test_a_worker_whose_server_is_lost_again_and_again_runs_nothing_that_nobody_renews(
    tmp_path: Path, yard_at: Callable[[Server], ModuleType]
) -> None:
    with Server("valkey", aof=True, extra=("--appendfsync", "always")) as server:
        yard = yard_at(server)
        with Crew(server, tmp_path, lease=2) as crew:
            for i in range(CONSUMERS):
                yard.stubborn.enqueue(f"s{i}")
                until(crew.begun(f"s{i}"))
                server.kill()
                server.start()
                until(lambda n=i: len(crew.logged("worker.registered_anew")) > n)
            until(lambda: len(crew.lines("begin", "s0")) == 2)
            assert len(crew.lines("cancelled", "s0")) == 1
            assert len(crew.lines("begin")) == CONSUMERS + 1


def test_a_setting_that_no_process_can_use_ends_the_worker_at_once_with_one_line(
    valkey: Server, tmp_path: Path
) -> None:
    crew = Crew(valkey, tmp_path, env={"MISCONFIGURED_AT_START": "model_path is 'nowhere'"}, workers=2)
    try:
        crew.launch()
        assert crew.wait() == 2
        assert 1 <= len(crew.logged("worker.misconfigured")) <= 2
        assert "Traceback" not in crew.log.read_text()
    finally:
        crew.stop()


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [({"STREAMQ_KEYS": "k1:short"}, "openssl rand"), ({"STREAMQ_URL": "memory://"}, "a server")],
)
def test_what_would_end_every_process_alike_is_refused_before_there_is_one(
    setting: dict[str, str], remedy: str, valkey: Server, tmp_path: Path
) -> None:
    setting = {"STREAMQ_URL": valkey.url, **setting}
    command = [sys.executable, "-m", "streamq.cli", "work", str(Path(__file__).parent / "yard.py")]
    ended = subprocess.run(
        command, env={**os.environ, **setting}, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert remedy in line


def test_run_refuses_a_limit_of_memory_that_every_process_is_above_and_a_name_that_no_queue_has(
    valkey: Server,
) -> None:
    with pytest.raises(ConfigError, match=r"memory is 1 bytes.*at least 32 MB"):
        run(App(valkey.url), queues={"default": 1}, memory=1)
    with pytest.raises(ConfigError, match="'a b' cannot be the name of a queue"):
        run(App(valkey.url), queues={"a b": 1})


def test_run_refuses_a_server_that_other_processes_do_not_see() -> None:
    with pytest.raises(ConfigError, match="leave the url out"):
        run(App("memory://"), queues={"default": 1})


def test_term_finishes_what_runs_and_leaves_nothing_behind(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, workers=2, concurrency=2) as crew:
        jobs = [yard.nap.enqueue(f"n{i}", 0.5) for i in range(8)]
        until(crew.begun("n0"))
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        assert len(crew.lines("begin")) == len(crew.lines("end"))
        left = stats(yard.app)
        assert (left["workers"], left["dead"], left["delayed"]) == (0, 0, 0)
        assert left["completed"] + left["active"] + left["pending"] == len(jobs)
        assert left["completed"] >= 1


def test_a_second_term_hands_back_what_runs_and_spends_no_attempt(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, timeout=60) as crew:
        yard.nap.enqueue("long", 60)
        until(crew.begun("long"))
        crew.signal(signal.SIGTERM)
        until(lambda: crew.logged("supervisor.leaving"))
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
    left = stats(yard.app)
    assert (left["active"], left["delayed"], left["dead"], left["workers"]) == (1, 0, 0, 0)
    with Crew(valkey, tmp_path) as crew:
        until(lambda: len(crew.lines("begin", "long")) == 2)


@pytest.mark.parametrize(
    "long", ["sits_in_a_thread", "holds_it_in_a_thread", "holds_it_when_it_should_end", "blocks_its_loop"]
)
def test_a_long_job_that_a_leaving_worker_could_not_end_is_handed_back_and_accused_of_nothing(
    long: str, valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    getattr(yard, long).enqueue("long", 50)
    with Crew(valkey, tmp_path, timeout=0.1) as crew:
        until(crew.begun("long"))
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        assert not crew.logged("worker.left_unsettled")
        assert not any(lost["suspects"] for lost in crew.logged("worker.lost"))
    left = stats(yard.app)
    assert (left["active"], left["suspects"], left["delayed"], left["dead"]) == (1, 0, 0, 0)
    with Crew(valkey, tmp_path) as crew:
        until(lambda: len(crew.lines("begin", "long")) == 2)


def test_a_handler_that_is_past_its_own_deadline_is_accused_also_while_its_worker_leaves(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, timeout=60) as crew:
        job = yard.holds_it_in_a_thread.using(timeout=0.5).enqueue("late", 50)
        until(crew.begun("late"))
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        [lost] = crew.logged("worker.lost")
        assert lost["suspects"] == {job.id: "holds_it_in_a_thread"}
    assert stats(yard.app)["suspects"] == 1


def test_deadlines_hold_while_the_server_hangs(
    tmp_path: Path, yard_at: Callable[[Server], ModuleType]
) -> None:
    with Server("valkey") as server, Crew(server, tmp_path) as crew:
        yard = yard_at(server)
        job, _ = yard.late.enqueue("late"), yard.nap.enqueue("meanwhile", 0.5)  # of which statistics are told
        until(lambda: len(crew.lines("begin")) == 2)
        os.kill(server.pid, signal.SIGSTOP)
        until(lambda: crew.lines("ended", "late"))
        os.kill(server.pid, signal.SIGCONT)
        with pytest.raises(JobFailed, match="it ran longer than 2 s"):
            job.result(timeout=20)


def test_a_running_job_is_cancelled_and_its_handler_knows(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        job = yard.stubborn.enqueue("asked")
        until(crew.begun("asked"))
        assert job.cancel()
        until(lambda: crew.lines("cancelled", "asked"), seconds=2)
        assert crew.lines("cancelled", "asked", "True")
        until(lambda: stats(yard.app)["cancelled"] == 1)


def test_term_is_obeyed_while_the_supervisor_waits_for_a_server_that_hangs(
    tmp_path: Path, yard_at: Callable[[Server], ModuleType]
) -> None:
    with Server("valkey") as server, Crew(server, tmp_path, workers=2, timeout=0.1) as crew:
        yard_at(server).stubborn.enqueue("runs")
        [begun] = until(crew.begun("runs"))
        until(lambda: server.raw.zcard("sq:{default}:idle") == 2)
        [other] = [child for child in crew.children() if str(child.pid) != begun.split()[2]]
        os.kill(server.pid, signal.SIGSTOP)
        other.kill()
        until(lambda: not psutil.pid_exists(other.pid), what="the supervisor's look at its death")
        crew.signal(signal.SIGTERM)
        until(lambda: crew.lines("cancelled", "runs"))
        assert not crew.logged("supervisor.leaving")
        os.kill(server.pid, signal.SIGCONT)
        assert crew.wait() == 0


def test_a_worker_whose_server_is_away_ends_when_it_is_told_to(
    tmp_path: Path, yard_at: Callable[[Server], ModuleType]
) -> None:
    with Server("valkey") as server, Crew(server, tmp_path, workers=2, timeout=0.1) as crew:
        yard_at(server).stubborn.enqueue("runs")
        until(crew.begun("runs"))
        server.kill()
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        assert crew.logged("worker.left_unsettled")
        assert "Traceback" not in crew.log.read_text()


def test_usr1_pauses_and_usr2_goes_on(valkey: Server, tmp_path: Path, yard: ModuleType) -> None:
    with Crew(valkey, tmp_path) as crew:
        yard.add.enqueue(0, 0).result(timeout=10)
        crew.signal(signal.SIGUSR1)
        until(lambda: stats(yard.app)["idle"] == 0)
        assert crew.logged("supervisor.paused")
        job = yard.add.enqueue(1, 2)
        assert stats(yard.app)["pending"] == 1
        crew.signal(signal.SIGUSR2)
        assert job.result(timeout=10) == 3
        assert crew.logged("supervisor.resumed")


def test_hup_replaces_the_processes_one_by_one(valkey: Server, tmp_path: Path, yard: ModuleType) -> None:
    with Crew(valkey, tmp_path, workers=2) as crew:
        before = {child.pid for child in until(lambda: len(crew.children()) == 2 and crew.children())}
        job = yard.nap.enqueue("meanwhile", 0.5)
        until(crew.begun("meanwhile"))
        crew.signal(signal.SIGHUP)
        until(lambda: not before & {child.pid for child in crew.children()} and len(crew.children()) == 2)
        assert job.result(timeout=10) == "meanwhile"
        assert len(crew.lines("begin", "meanwhile")) == 1
        assert crew.logged("supervisor.replacing")


def test_a_storm_of_signals_loses_nothing_and_costs_no_attempt(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    chance = random.Random(7)
    with Crew(valkey, tmp_path, workers=2, concurrency=5) as crew:
        jobs = yard.app.enqueue_many([yard.nap.call(f"n{i}", 0.05) for i in range(150)])
        while stats(yard.app)["completed"] < 100:
            crew.signal(chance.choice([signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2, signal.SIGHUP]))
            until(lambda: crew.children(), what="a child")
            time.sleep(0.02)
        crew.signal(signal.SIGUSR2)
        assert [job.result(timeout=20) for job in jobs] == [f"n{i}" for i in range(150)]
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
        assert len(crew.lines("begin")) == 150
        assert not crew.logged("job.retrying")
        assert not crew.logged("worker.lost")


def test_a_handler_that_holds_the_interpreter_within_its_time_does_not_cost_the_lease(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, lease=1) as crew:
        beside = yard.nap.enqueue("beside", 0.3)
        until(crew.begun("beside"))
        assert yard.holds_it_for.enqueue("holder", 3).result(timeout=10) == "holder"
        assert beside.result(timeout=5) == "beside"
        assert len(crew.lines("begin")) == 2
        assert not crew.logged("worker.fenced")


def test_children_die_with_their_supervisor(valkey: Server, tmp_path: Path, yard: ModuleType) -> None:
    with Crew(valkey, tmp_path, workers=2) as crew:
        children = until(lambda: len(crew.children()) == 2 and crew.children())
        crew.signal(signal.SIGKILL)
        crew.wait()
        psutil.wait_procs(children, timeout=5)
        assert not [
            child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        ]


def test_an_isolated_handler_is_killed_when_it_is_late(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        with pytest.raises(JobFailed, match=r"longer than 0\.5 s"):
            yard.isolated.enqueue("slow", 60).result(timeout=10)
        [line] = crew.lines("begin", "slow")
        until(lambda: not psutil.pid_exists(int(line.split()[2])))
        assert yard.add.enqueue(1, 1).result(timeout=5) == 2
        assert not crew.logged("worker.lost")


def test_an_isolated_handler_is_warned_by_its_soft_timeout(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path):
        for task in (yard.isolated_tidies, yard.isolated_tidies_too):
            assert task.enqueue("x").result(timeout=10) == (
                "the soft timeout of 0.2 s is over; the handler has 4.8 s to tidy up"
            )


def test_an_isolated_handler_that_crashes_is_retried_like_any_failure(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        assert yard.isolated_crash.enqueue().result(timeout=10) == 2
        assert yard.isolated_retry.enqueue().result(timeout=10) == 3
        assert not crew.logged("worker.lost")


def test_isolated_jobs_outlive_the_death_of_the_process_that_forks_theirs(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path) as crew:
        yard.isolated_once.enqueue(0).result(timeout=10)
        [worker] = crew.children()
        [nursery] = worker.children()
        nursery.kill()
        jobs = [yard.isolated_once.enqueue(i) for i in range(20)]
        assert [job.result(timeout=20) for job in jobs] == list(range(20))
        assert len(crew.logged("worker.worn")) == 1
        assert not crew.logged("job.dead")
        assert not crew.logged("worker.lost")


def test_a_process_is_replaced_after_its_share_of_jobs(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, max_jobs=10) as crew:
        jobs = [yard.add.enqueue(i, 0) for i in range(40)]
        assert [job.result(timeout=20) for job in jobs] == list(range(40))
        until(lambda: crew.logged("worker.worn"))
        assert not crew.logged("worker.lost")


def test_a_process_that_has_grown_too_large_is_replaced(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    with Crew(valkey, tmp_path, memory=100_000_000) as crew:
        yard.grows.enqueue(100_000_000)
        until(lambda: any("too large" in line["why"] for line in crew.logged("worker.worn")))
        assert yard.add.enqueue(1, 2).result(timeout=10) == 3
        assert not crew.logged("worker.lost")


def test_burst_ends_when_there_is_nothing_to_do(valkey: Server, tmp_path: Path, yard: ModuleType) -> None:
    for i in range(100):
        yard.add.enqueue(i, i)
    with Crew(valkey, tmp_path, workers=2, burst=True) as crew:
        assert crew.wait() == 0
        assert (stats(yard.app)["completed"], stats(yard.app)["workers"]) == (100, 0)


@pytest.mark.parametrize(
    ("end", "event"), [("FAIL_AT_END", "worker.failed"), ("CRASH_AT_END", "worker.lost")]
)
def test_a_burst_whose_processes_fail_while_they_tidy_up_ends_with_a_code_that_says_so(
    end: str, event: str, valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    yard.app.enqueue_many([yard.add.call(i, i) for i in range(20)])
    with Crew(valkey, tmp_path, workers=2, burst=True, env={end: "the till is open"}) as crew:
        assert crew.wait() == Exit.FAILED
        assert len(crew.logged(event)) == len(crew.lines("opens")) == 2
    assert (stats(yard.app)["completed"], stats(yard.app)["active"]) == (20, 0)


def test_a_crew_that_was_stopped_past_its_lease_settles_too_late(
    valkey: Server, tmp_path: Path, yard: ModuleType
) -> None:
    (tmp_path / "first").mkdir()
    with Crew(valkey, tmp_path / "first", lease=1) as first, Crew(valkey, tmp_path, lease=1) as second:
        second.signal(signal.SIGUSR1)
        until(lambda: stats(yard.app)["idle"] == 1)
        job = yard.nap.enqueue("slow", 1.5)
        until(first.begun("slow"))
        family = [psutil.Process(first.process.pid), *first.children()]
        for process in family:
            process.suspend()
        second.signal(signal.SIGUSR2)
        until(second.begun("slow"), seconds=10)
        for process in reversed(family):
            process.resume()
        assert job.result(timeout=10) == "slow"
        until(lambda: first.logged("job.fenced") or first.logged("job.settle_refused"))
        assert (stats(yard.app)["completed"], stats(yard.app)["active"]) == (1, 0)


def test_health_is_told_over_http(valkey: Server, tmp_path: Path) -> None:
    port = free_port()
    with Crew(valkey, tmp_path, env={"STREAMQ_HEALTH_PORT": str(port)}) as crew:

        def ask(path: str) -> int:
            connection = HTTPConnection("127.0.0.1", port, timeout=5)
            with closing(connection):
                connection.request("GET", path)
                return connection.getresponse().status

        until(lambda: ask("/ready") == 200)
        assert ask("/live") == 200
        assert ask("/other") == 404
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((OTHER_LOOPBACK, port), timeout=1)
        for child in crew.children():
            assert not [one for one in child.net_connections() if one.status == psutil.CONN_LISTEN]
        crew.signal(signal.SIGUSR1)
        until(lambda: ask("/ready") == 503)
        crew.signal(signal.SIGUSR2)
        until(lambda: ask("/ready") == 200)
        for child in crew.children():
            child.suspend()
            child.kill()
        crew.signal(signal.SIGTERM)
        assert crew.wait() == 0
