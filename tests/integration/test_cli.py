"""The command line as it is used: real processes, real servers, and a real App in a folder."""

from __future__ import annotations

import base64
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from servers import Server, free_port
from shells import SHOP, Shell, shell
from streamq import App
from streamq.config import Config
from streamq.engines.factory import open_engine
from streamq.protocol import consume
from streamq.queue import Queue
from streamq.worker.statistics import bucket_of


@pytest.fixture
def shop(tmp_path: Path, valkey: Server) -> Shell:
    return shell(tmp_path, valkey.url)


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A server as it should be: with an append-only file."""
    with Server("valkey", aof=True) as server:
        yield server


def test_without_a_url_the_embedded_server_of_the_folder_does_it(tmp_path: Path) -> None:
    shop = shell(tmp_path, "embedded://")
    no_url = {"STREAMQ_URL": "", "STREAMQ_DATA": str(tmp_path / "data")}
    try:
        job = shop.run("enqueue", "send_email", "a@b.c", "--app", "shop", **no_url)
        shop.run("work", "shop", "--burst", "--workers", "1", **no_url)
        shown = shop.run("job", "explain", job.out.split()[-1], **no_url)
        assert "completed" in shown.out
    finally:
        shop.run("server", "stop", **no_url)


def bury(url: str, queue: str, error: str) -> None:
    """Let all jobs of a queue give up, as a worker would."""
    engine, of = open_engine(Config(url=url)), Queue(queue)
    consumer = engine.run(of.register()).consumer
    groups = engine.run(of.pop(consumer, 100)).groups
    settlements = [
        part
        for level, rows in consume.handed_out(groups)
        for entry, *_ in rows
        for part in consume.settle("dead", level, entry, ["reason", "failed", "error", error])
    ]
    engine.run(of.settle(consumer, settlements))
    engine.run(of.retire(consumer))
    engine.close()


def test_a_burst_runs_what_is_there_and_ends(shop: Shell) -> None:
    good = shop.call("enqueue", "send_email", "a@b.c", "--app", "shop").word
    bad = shop.call("enqueue", "send_email", "nobody", "template=bye", "--app", "shop").word
    shop.run("work", "shop", "--burst", "--workers", "1")
    assert (
        shop.call("job", "show", good, "--json", "--payload").document["payload"]["result"]
        == "welcome to a@b.c"
    )
    (dead,) = shop.call("dead", "list", "--json").document
    assert (dead["id"], dead["task"], dead["state"]) == (bad, "send_email", "dead")
    assert "nobody is no address" in dead["error"]


def test_a_worker_runs_what_comes_until_it_is_told_to_stop(shop: Shell) -> None:
    with shop.started("work", "shop", "--workers", "1", "--queue", "mail=5", "--log", "json") as worker:
        said = shop.call(
            "enqueue", "send_email", "a@b.c", "--app", "shop", "--wait", "30s", "--json"
        ).document
        worker.terminate()
        assert worker.wait(30) == 0
    assert said["result"] == "welcome to a@b.c"


def test_a_worker_for_a_queue_that_no_task_is_for_says_so(shop: Shell) -> None:
    ran = shop.run("work", "shop", "--burst", "--workers", "1", "--queue", "mial")
    assert "no task of the App is for queue mial; did you mean mail?" in ran.err


@pytest.mark.parametrize(
    ("options", "remedy"),
    [(("--queue", "a b"), "letters, digits"), (("--memory", "1"), "at least 32 MB")],
)
def test_a_worker_that_could_never_work_is_refused_with_the_remedy(
    shop: Shell, options: tuple[str, ...], remedy: str
) -> None:
    ran = shop.run("work", "shop", "--burst", *options, code=2)
    assert remedy in ran.err
    assert "Traceback" not in ran.err


def test_a_worker_starts_anew_when_a_file_changes(shop: Shell) -> None:
    with shop.started("work", "shop", "--workers", "1", "--reload") as worker:
        put_in = ("enqueue", "send_email", "a@b.c", "--queue", "mail", "--wait", "30s", "--json")
        before = shop.call(*put_in).document["result"]
        (shop.folder / "shop.py").write_text(SHOP.replace("welcome", "good morning"))
        assert worker.stderr is not None
        assert any("shop.py has changed" in line for line in worker.stderr)
        after = shop.call(*put_in).document["result"]
        worker.terminate()
        assert worker.wait(30) == 0
    assert (before, after) == ("welcome to a@b.c", "good morning to a@b.c")


def test_a_worker_starts_anew_when_code_changes_that_the_app_was_imported_from(
    shop: Shell, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    (code / "letters" / "texts").mkdir(parents=True)
    (code / "letters" / "__init__.py").touch()
    (code / "letters" / "texts" / "__init__.py").write_text('GREETING = "welcome"\n')
    (code / "signature.py").write_text('NAME = "us"\n')
    imports = (
        f"import sys\n\nsys.path.append('{code}')\nfrom letters.texts import GREETING\nimport signature\n"
    )
    (shop.folder / "shop.py").write_text(SHOP + imports)
    (shop.folder / "elsewhere").mkdir()
    elsewhere = replace(shop, folder=shop.folder / "elsewhere")
    with elsewhere.started("work", str(shop.folder / "shop.py"), "--workers", "1", "--reload") as worker:
        assert worker.stderr is not None
        for path in (code / "letters" / "texts" / "__init__.py", code / "signature.py"):
            put_in = ("enqueue", "send_email", "a@b.c", "--queue", "mail", "--wait", "30s", "--json")
            assert shop.call(*put_in).document["result"] == "welcome to a@b.c"
            path.write_text(path.read_text() + "# changed\n")
            assert any(f"{path.name} has changed" in line for line in worker.stderr)
        worker.terminate()
        assert worker.wait(30) == 0


def test_the_trial_sends_jobs_through_a_real_worker(shop: Shell) -> None:
    counted = shop.call("test", "--jobs", "100", "--workers", "1", "--json").document
    assert (counted["completed"], counted["dead"]) == (98, 2)
    (left,) = shop.call("queue", "stats", "streamq-test", "--json").document
    assert (left["pending"], left["active"], left["delayed"], left["dead"]) == (0, 0, 0, 0)


def test_a_dead_job_runs_again_with_another_argument(shop: Shell) -> None:
    job = shop.call("enqueue", "send_email", "nobody", "--app", "shop").word
    bury(shop.url, "mail", "ValueError: nobody is no address")
    shop.call("dead", "retry", job, "--set", "to=a@b.c", "--app", "shop")
    shown = shop.call("job", "show", job, "--json", "--payload").document
    assert (shown["state"], shown["payload"]["args"]) == ("pending", ["a@b.c"])
    assert shop.call("dead", "list", "--json").document == []


def test_an_argument_that_the_task_does_not_take_is_refused_at_retry(shop: Shell) -> None:
    job = shop.call("enqueue", "send_email", "nobody", "--app", "shop").word
    bury(shop.url, "mail", "ValueError: nobody is no address")
    said = shop.call("dead", "retry", job, "--set", "two=a@b.c", "--app", "shop", code=2).err
    assert "two" in said
    assert shop.call("job", "show", job, "--json").document["state"] == "dead"


def test_dead_jobs_are_filtered_and_retried_by_task_and_error(shop: Shell) -> None:
    for task in ("sync", "sync", "clean"):
        shop.call("enqueue", task, "--queue", "mail")
    bury(shop.url, "mail", "TimeoutError: took too long")
    assert len(shop.call("dead", "list", "--task", "sync", "--error", "Timeout", "--json").document) == 2
    assert shop.call("dead", "list", "--error", "Value", "--json").document == []
    retried = shop.call("dead", "retry", "--all", "--task", "sync", "--error", "Timeout", "--json").document
    assert retried == {"retried": 2}
    assert [row["task"] for row in shop.call("dead", "list", "--json").document] == ["clean"]


def test_a_signal_is_sent_listed_and_kept_once(shop: Shell) -> None:
    job = shop.call("enqueue", "asks", "--app", "shop").word
    shop.run("work", "shop", "--burst", "--workers", "1")
    shown = shop.call("job", "show", job, "--json").document
    assert (shown["state"], shown["waits_for"]) == ("waiting", "signal approved")
    assert "step charge" in shop.call("job", "show", job).out
    assert "waits for signal approved, until " in shop.call("job", "explain", job).out
    for listed in (
        shop.call("signal", "list", "--json"),
        shop.call("job", "list", "--state", "waiting", "--json"),
    ):
        assert [(row["id"], row["waits_for"]) for row in listed.document] == [(job, "signal approved")]
    assert shop.call("signal", "send", job, "approved", "true").out == f"approved was sent to {job}\n"
    assert "that one stands" in shop.call("signal", "send", job, "approved", "false", code=1).out
    assert shop.call("signal", "list", job, "--json").document["signals"] == {"approved": True}
    shop.run("work", "shop", "--burst", "--workers", "1")
    assert shop.call("job", "show", job, "--json", "--payload").document["payload"]["result"] == [7, True]
    assert "completed" in shop.call("signal", "send", job, "approved", code=1).err


def test_jobs_that_wait_are_purged(shop: Shell) -> None:
    shop.call("enqueue", "asks", "--app", "shop")
    shop.run("work", "shop", "--burst", "--workers", "1")
    assert (
        "1 waiting job of mail removed"
        in shop.call("queue", "purge", "mail", "--what", "waiting", "--yes").out
    )
    assert shop.call("signal", "list", "--json").document == []


def test_sealed_jobs_are_read_by_those_who_have_the_key(shop: Shell) -> None:
    keys = {"STREAMQ_KEYS": f"k1:{base64.b64encode(bytes(32)).decode()}"}
    good = shop.call("enqueue", "send_email", "a@b.c", "--app", "shop", **keys).word
    bad = shop.call("enqueue", "send_email", "nobody", "--app", "shop", **keys).word
    shop.run("work", "shop", "--burst", "--workers", "1", **keys)
    assert "welcome to a@b.c" in shop.call("job", "show", good, "--payload", **keys).out
    assert "nobody" in shop.call("dead", "list", **keys).out
    without = [shop.call(*words, bad).out for words in (("dead", "show"), ("job", "explain"))]
    assert not any("nobody" in shown or "sealed:" in shown for shown in without)
    assert "STREAMQ_KEYS" in shop.call("job", "show", bad, "--payload", code=1).err
    retried = shop.call("dead", "retry", "--all", "--error", "is no address", "--json", **keys).document
    assert retried == {"retried": 1}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["send_email"], "to"),
        (["send_email", "a@b.c", "templat=bye"], "Did you mean 'template'?"),
        (["send_mail", "a@b.c"], "did you mean send_email?"),
        (["add", "1", "two"], "b does not fit int"),
        (["add", "1", "2", "--priority", "urgent"], "priority"),
        (["add", "1", "2", "--at", "soon"], "soon"),
        (["add", "1", "-2"], "behind --"),
    ],
)
def test_a_wrong_enqueue_is_refused_and_nothing_is_sent(shop: Shell, words: list[str], said: str) -> None:
    refused = shop.call("enqueue", *words, "--app", "shop", code=2)
    assert said in refused.err
    assert "Traceback" not in refused.err
    assert shop.call("queue", "list", "--json").document == []


def test_a_second_job_of_one_unique_key_is_said_to_be_none(shop: Shell) -> None:
    first, second = (
        shop.call("enqueue", "add", "1", "2", "--unique", "a", "--app", "shop", "--json") for _ in range(2)
    )
    assert (first.document["added"], first.err) == (True, "")
    assert second.document == {"id": first.document["id"], "added": False}
    assert "nothing was added" in second.err


def test_a_result_that_nobody_can_bring_is_explained(shop: Shell) -> None:
    said = shop.call("enqueue", "add", "1", "2", "--app", "shop", "--wait", "0.1s", code=1).err
    assert "No worker is registered for queue sums" in said


def test_a_word_becomes_what_the_annotation_asks_for(shop: Shell) -> None:
    number = shop.call("enqueue", "add", "7", "b=8", "--app", "shop").word
    text = shop.call("enqueue", "send_email", "7", "--app", "shop").word
    assert shop.call("job", "show", number, "--json", "--payload").document["payload"]["args"] == [7]
    assert shop.call("job", "show", text, "--json", "--payload").document["payload"]["args"] == ["7"]


def test_a_job_of_an_app_that_is_elsewhere_is_sent_by_name_and_queue(shop: Shell) -> None:
    assert "--queue" in shop.call("enqueue", "resize", "photo.png", code=2).err
    options = [
        "--queue",
        "images",
        "--priority",
        "high",
        "--delay",
        "1h",
        "--tag",
        "import-7",
        "--unique",
        "size",
    ]
    first = shop.call("enqueue", "resize", "photo.png", "size=[3, 4]", *options).word
    second = shop.call("enqueue", "resize", "other.png", "size=[3, 4]", *options).word
    shown = shop.call("job", "show", first, "--json", "--payload").document
    assert second == first, "the unique key is held by the first"
    assert (shown["state"], shown["priority"], shown["tags"]) == ("scheduled", 7, ["import-7"])
    assert (shown["payload"]["args"], shown["payload"]["kwargs"]) == (["photo.png"], {"size": [3, 4]})


def test_payloads_are_hidden_unless_asked_for(shop: Shell) -> None:
    job = shop.call("enqueue", "send_email", "secret@b.c", "--queue", "mail").word
    assert "secret" not in shop.call("job", "show", job).out + shop.call("job", "show", job, "--json").out
    assert "secret" in shop.call("job", "show", job, "--payload").out


def test_a_job_that_waits_for_a_time_can_run_now_and_one_that_does_not_cannot(
    shop: Shell, valkey: Server
) -> None:
    with App(valkey.url) as app:
        send = app.task(name="send")(print)
        later, now = send.using(delay="1h").enqueue(), send.enqueue()
        assert shop.call("job", "promote", later.id).out == f"{later.id} is ready to run\n"
        assert later.info().due_ms <= now.info().created_ms + 60_000
        assert "does not wait for a time" in shop.call("job", "promote", now.id, code=1).err
        later.cancel()


def test_a_list_that_is_cut_says_so(shop: Shell, valkey: Server) -> None:
    for number in range(3):
        shop.call("enqueue", "add", str(number), "1", "--queue", "mail")
    cut, whole = shop.call("job", "list", "--limit", "2"), shop.call("job", "list", "--limit", "3")
    assert (cut.out.count("add"), whole.out.count("add")) == (2, 3)
    assert "There are more" in cut.err
    assert "more" not in whole.err


def test_a_job_is_explained_listed_and_cancelled(shop: Shell) -> None:
    job = shop.call("enqueue", "sync", "--queue", "mail", "--delay", "1h").word
    because = shop.call("job", "explain", job, "--json").document
    assert because["state"] == "scheduled"
    assert any("due in" in sentence for sentence in because["because"])
    (listed,) = shop.call("job", "list", "--state", "scheduled", "--json").document
    assert (listed["id"], listed["attempts"]) == (job, 0)
    assert shop.call("job", "explain", "mail-5-1-0", "--json", code=1).document["state"] == "unknown"
    assert shop.call("job", "list", "--state", "pending", "--json").document == []
    assert shop.call("job", "cancel", job, "--json").document == {job: "cancelled"}
    assert shop.call("job", "cancel", job, code=1).out.startswith(job)


def test_a_queue_is_paused_resumed_and_purged(shop: Shell) -> None:
    for _ in range(3):
        shop.call("enqueue", "sync", "--queue", "mail")
    shop.call("queue", "pause", "mail", "--note", "a deploy")
    assert "paused: a deploy" in shop.call("queue", "list").out
    shop.call("queue", "resume", "mail")
    assert shop.call("queue", "stats", "mail", "--json").document[0]["paused"] == 0
    assert "--yes" in shop.call("queue", "purge", "mail", code=2).err, "nobody can be asked in a pipe"
    assert shop.call("queue", "purge", "mail", "--yes", "--json").document == {"queue": "mail", "removed": 3}
    assert "did you mean mail?" in shop.call("queue", "pause", "mial", code=1).err


def test_queues_that_are_empty_are_removed_and_others_stay(shop: Shell) -> None:
    for queue in ("mail", "customer:1", "customer:2"):
        shop.call("enqueue", "sync", "--queue", queue)
    shop.call("queue", "purge", "customer:1", "--yes")
    shop.call("queue", "purge", "customer:2", "--yes")
    assert shop.call("queue", "remove", "customer:1", "customer:2", "--json").document == {
        "removed": ["customer:1", "customer:2"]
    }
    refusal = shop.call("queue", "remove", "mail", code=1).err
    assert "mail: the queue has jobs: 1 pending or active" in refusal
    assert [row["queue"] for row in shop.call("queue", "list", "--json").document] == ["mail"]
    assert "there is no queue 'customer:1'" in shop.call("queue", "remove", "customer:1", code=1).err


def test_output_in_a_pipe_is_plain_lines(shop: Shell) -> None:
    shop.call("enqueue", "sync", "--queue", "mail")
    heading, row = shop.call("queue", "list").out.splitlines()
    assert heading.split()[:2] == ["queue", "pending"]
    assert row.split()[:2] == ["mail", "1"]
    assert row.isascii()


def test_top_prints_once_what_the_statistics_say(shop: Shell) -> None:
    engine, queue = open_engine(Config(url=shop.url)), Queue("mail")
    shop.call("enqueue", "sync", "--queue", "mail")
    bucket = bucket_of(2_200)  # µs
    counts = [(f"run:a:b:{bucket}", 100), (f"wait:a:b:{bucket}", 100), ("ended:a:b:completed", 100)]
    engine.run(consume.report(queue.anchor, 0, counts))
    engine.close()
    (view,) = shop.call("top", "--json").document["queues"]
    (task,) = view["figures"]["tasks"]
    assert (view["pending"], view["figures"]["completed"][-1]) == (1, 100)
    assert (task["task"], task["ended"]) == ("a:b", {"completed": 100})
    assert 2.0 < task["run"]["p50"] < 2.4
    assert "a:b" in shop.call("top", "--once").out
    assert "--once" in shop.call("top", code=2).err


def test_top_says_of_workers_what_they_do(shop: Shell) -> None:
    shop.call("enqueue", "sync", "--queue", "mail")
    engine, queue = open_engine(Config(url=shop.url)), Queue("mail")
    consumer = engine.run(queue.register()).consumer

    def state() -> str:
        lines = shop.call("top", "--once").out.splitlines()
        return next(line.split()[2] for line in lines if line.split()[1:2] == [consumer])

    states = [state()]
    shop.call("queue", "pause", "mail")
    states.append(state())
    shop.call("queue", "resume", "mail")
    engine.run(queue.pop(consumer, 1))
    states.append(state())
    engine.close()
    assert states == ["idle", "paused", "busy"]


def test_the_live_view_draws_on_a_terminal_and_ends_with_ctrl_c(shop: Shell) -> None:
    shop.call("enqueue", "sync", "--queue", "mail")
    ours, theirs = pty.openpty()
    with shop.started("top", stdout=theirs) as view, os.fdopen(ours, "rb", buffering=0) as screen:
        os.close(theirs)
        drawn = b""
        while b"mail" not in drawn:
            drawn += screen.read(4096)
        view.send_signal(signal.SIGINT)
        assert view.wait(30) == 130
    assert b"jobs/s" in drawn


def test_the_doctor_is_content_with_a_good_server(tmp_path: Path, durable: Server) -> None:
    durable.flush()
    shop = shell(tmp_path, durable.url)
    shop.call("function", "load")
    findings = shop.call("doctor", "--json").document
    assert {finding["level"] for finding in findings} == {"ok"}, findings


def test_the_doctor_fails_a_server_that_would_lose_jobs(shop: Shell, valkey: Server) -> None:
    valkey.raw.config_set("maxmemory", "1gb")
    valkey.raw.config_set("maxmemory-policy", "allkeys-lru")
    try:
        findings = {finding["subject"]: finding for finding in shop.call("doctor", "--json", code=1).document}
    finally:
        valkey.raw.config_set("maxmemory-policy", "noeviction")
        valkey.raw.config_set("maxmemory", "0")
    assert (findings["aof"]["level"], findings["eviction"]["level"]) == ("fail", "fail")
    assert "appendonly yes" in findings["aof"]["remedy"]
    assert findings["functions"]["level"] == "warn", "the doctor loads nothing"


def test_the_doctor_names_a_queue_that_nobody_works_on(shop: Shell, valkey: Server) -> None:
    shop.call("enqueue", "sync", "--queue", "mail")
    said = shop.call("doctor", code=1).out
    assert "streamq work --queue mail" in said
    assert "1 job waiting" in said


def test_the_doctor_names_jobs_that_were_handed_back_and_that_nobody_runs(
    shop: Shell, valkey: Server
) -> None:
    shop.call("enqueue", "sync", "--queue", "mail")
    engine, mail = open_engine(Config(url=valkey.url)), Queue("mail")
    consumer = engine.run(mail.register()).consumer
    engine.run(mail.pop(consumer, 1))
    engine.run(mail.retire(consumer))
    engine.close()
    assert "1 job handed back by workers that are gone" in shop.call("doctor", code=1).out


@pytest.mark.parametrize(
    "command", [["queue", "list"], ["top", "--once", "--json"], ["work", "shop"], ["test"]]
)
def test_a_server_that_is_away_is_one_line(shop: Shell, command: list[str]) -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    ran = shop.run(*command, "--url", away, code=1)
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith(f"streamq: cannot reach {away}")
    assert "correct --url or STREAMQ_URL" in ran.err


@pytest.mark.parametrize("command", [["doctor"], ["test"], ["top", "--once"], ["enqueue", "add", "1", "2"]])
def test_a_command_does_not_pretend_to_see_the_memory_of_a_process(shop: Shell, command: list[str]) -> None:
    refused = shop.call(*command, "--app", "shop", "--url", "memory://", code=2)
    assert "lives inside one process" in refused.err
    assert refused.err.count("\n") == 1


def test_a_traceback_is_shown_with_debug_only(shop: Shell) -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    assert "Traceback" in shop.run("--debug", "queue", "list", "--url", away, code=1).err


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("shopp", "no module shopp"),
        ("empty", "has no App"),
        ("twice", "twice:one, twice:two"),
        ("broken", "broken.py:2"),
        ("shop:ap", "its Apps are app"),
        ("missing", "No module named 'not_installed'"),
        ("misspelt", "misspelt.py:3"),
    ],
)
def test_an_app_that_cannot_be_had_is_one_line(shop: Shell, app: str, said: str) -> None:
    (shop.folder / "empty.py").touch()
    (shop.folder / "twice.py").write_text("from streamq import App\none, two = App(), App()\n")
    (shop.folder / "broken.py").write_text("one = 1\none.two()\n")
    (shop.folder / "missing.py").write_text("import not_installed\n")
    (shop.folder / "misspelt.py").write_text(
        "from streamq import App\napp = App()\n@app.task(atempts=3)\ndef add(): ...\n"
    )
    refused = shop.call("work", app, code=2)
    assert said in refused.err
    assert refused.err.count("\n") == 1


def test_the_app_is_found_in_the_environment_and_in_pyproject(shop: Shell) -> None:
    shop.call("enqueue", "add", "1", "2", STREAMQ_APP="shop")
    (shop.folder / "pyproject.toml").write_text('[tool.streamq]\napp = "shop:app"\n')
    shop.call("enqueue", "add", "1", "2")
    assert "--app" in shop.call("config", "--help").out
    assert shop.call("config", "--json").document["app"] == {
        "value": "shop:app",
        "source": "pyproject.toml",
        "help": "the module of the App, as in shop or shop:app",
    }


def test_the_app_of_pyproject_is_found_from_a_folder_below(shop: Shell) -> None:
    (shop.folder / "pyproject.toml").write_text('[tool.streamq]\napp = "shop"\n')
    below = Shell(shop.folder / "notes", shop.url)
    below.folder.mkdir()
    below.call("enqueue", "add", "1", "2")
    assert [row["queue"] for row in below.call("queue", "list", "--json").document] == ["sums"]


def test_an_app_that_is_broken_is_not_needed_to_look_where_the_settings_say_all(shop: Shell) -> None:
    shop.call("enqueue", "add", "1", "2", "--app", "shop")
    (shop.folder / "broken.py").write_text("1 / 0\n")
    settings = {"STREAMQ_APP": "broken", "STREAMQ_NAMESPACE": "sq"}
    assert [row["queue"] for row in shop.call("queue", "list", "--json", **settings).document] == ["sums"]


def test_an_app_is_named_by_the_path_of_its_file(
    shop: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = Shell(tmp_path_factory.mktemp("elsewhere"), shop.url)
    elsewhere.call("enqueue", "add", "1", "2", "--app", str(shop.folder / "shop.py"))
    assert [row["queue"] for row in shop.call("queue", "list", "--json").document] == ["sums"]


def test_settings_are_shown_with_their_source_and_without_secrets(shop: Shell) -> None:
    secret = "redis://:hunter2@127.0.0.1:1"
    shown = shop.call(
        "config", "--url", secret, "--json", STREAMQ_LEASE="9", STREAMQ_KEYS="k1:c2VjcmV0"
    ).document
    assert (shown["url"]["value"], shown["url"]["source"]) == ("redis://:***@127.0.0.1:1", "argument")
    assert (shown["lease"]["value"], shown["lease"]["source"]) == ("9.0", "STREAMQ_LEASE")
    assert shown["keys"]["value"] == "***"
    assert "LEASSE" in shop.call("config", code=2, STREAMQ_LEASSE="9").err


def test_the_function_library_is_compared_and_loaded(shop: Shell) -> None:
    before = shop.call("function", "show", "--json").document
    shop.call("function", "load")
    after = shop.call("function", "show", "--json").document
    assert before["server"] is None
    assert after["server"] == after["here"]
    assert shop.call("function", "show", "--source").out.startswith("#!lua name=streamq_1")


def test_the_embedded_server_is_started_looked_at_and_stopped(shop: Shell) -> None:
    own = Shell(shop.folder, "")
    assert own.call("server", "status", "--json", code=1).document["running"] is False
    try:
        own.call("server", "start")
        assert own.call("server", "status", "--json").document["answers"] is True
        assert own.call("queue", "list", "--json").document == []
    finally:
        assert own.call("server", "stop", "--json").document == {"stopped": True}
    assert "STREAMQ_URL" in shop.call("server", "start", code=2).err


def test_a_server_that_a_command_had_to_start_is_said_once(shop: Shell) -> None:
    own = Shell(shop.folder, "")
    try:
        first = own.call("queue", "list", "--json")
        assert first.document == []
        assert (
            first.err
            == f'streamq: started a server in {shop.folder / ".streamq"} ("streamq server stop" ends it)\n'
        )
        assert own.call("queue", "list").err == ""
    finally:
        own.call("server", "stop")


def test_shared_options_stand_before_or_behind_the_verb(shop: Shell) -> None:
    shop.call("enqueue", "sync", "--queue", "mail", "--namespace", "other")
    for words in (
        ["--namespace", "other", "queue", "list", "--json"],
        ["queue", "--json", "list", "--namespace", "other"],
    ):
        assert [row["queue"] for row in shop.call(*words).document] == ["mail"]
    assert shop.call("queue", "list", "--json").document == []


def test_a_wrong_word_is_usage(shop: Shell) -> None:
    assert "nope" in shop.call("nope", code=2).err
    assert "Did you mean 'enqueue'?" in shop.call("enqueu", code=2).err
    assert "--log json" in shop.call("work", "shop", "--json", code=2).err
    assert "leave out mail-5-1-0" in shop.call("dead", "retry", "mail-5-1-0", "--all", code=2).err
    assert "--stat" in shop.call("job", "list", "--stat", "dead", code=2).err
    assert "job list" in shop.call("job", "list", "--state", "done", code=2).err


def test_help_imports_neither_engines_nor_rich(shop: Shell) -> None:
    program = (
        "import sys\nfrom streamq.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'rich', 'redis', 'hiredis'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "enqueue" in done.stdout
    assert done.stderr.strip() == "[]"
