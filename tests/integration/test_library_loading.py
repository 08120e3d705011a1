"""How the library gets onto a server: alone, in a race, over an older or a newer one, and where functions are missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis

from servers import Server
from streamq.config import Config
from streamq.engines.factory import open_engine
from streamq.errors import LibraryMissing, ProtocolError
from streamq.library import Dialect, Library, Stamp, library
from streamq.queue import Queue

LUA = "sq.register('{name}', {{}}, function(anchor, args) {body} end)\n"


def made(folder: Path, answer: str, revision: int = 1, checkout: bool = False) -> Library:
    """A library of one function, ``sq1_answer``."""
    folder.mkdir(exist_ok=True)
    (folder / "prelude.lua").write_text(
        "local sq = {}\nfunction sq.register(name, flags, fn) redis.register_function{function_name = 'sq1_' .. name, "
        "flags = flags, callback = function(keys, args) return fn(keys[1], args) end} end\n"
    )
    (folder / "10_answer.lua").write_text(LUA.format(name="answer", body=f"return '{answer}'"))
    return Library(folder, revision, checkout)


def carry(server: Server, conversation: Generator[Any, Any, Dialect], reply: Any = None) -> Dialect:
    """Carry a conversation with redis-py, from its next command on; the end is its value."""
    with server.connect() as client:
        connection = client.connection_pool.get_connection()
        try:
            while True:
                connection.send_command(*conversation.send(reply))
                try:
                    reply = connection.read_response(disable_decoding=True)
                except redis.ResponseError as error:
                    reply = error
        except StopIteration as end:
            return end.value
        finally:
            client.connection_pool.release(connection)


def install(server: Server, library: Library, **options: bool) -> Dialect:
    return carry(server, library.install(**options))


def answer(server: Server) -> bytes:
    return server.raw.execute_command("FCALL", "sq1_answer", 1, "a")


def test_it_is_loaded_when_there_is_none_and_kept_when_it_is_the_same(server: Server, tmp_path: Path) -> None:
    one = made(tmp_path / "one", "one")
    assert install(server, one) is Dialect.FUNCTIONS
    assert install(server, one) is Dialect.FUNCTIONS
    assert answer(server) == b"one"


def test_a_newer_revision_replaces_and_an_older_one_does_not(server: Server, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old", "old", 1), made(tmp_path / "new", "new", 2)
    install(server, old)
    install(server, new)
    assert answer(server) == b"new"
    install(server, old)
    assert answer(server) == b"new"


def test_other_content_of_the_same_revision_is_refused_with_both_digests(
    server: Server, tmp_path: Path
) -> None:
    there, here = made(tmp_path / "there", "there"), made(tmp_path / "here", "here")
    install(server, there)
    with pytest.raises(LibraryMissing, match=f"{there.stamp.digest} there, {here.stamp.digest} here"):
        install(server, here)
    assert answer(server) == b"there"
    install(server, here, anyway=True)
    assert answer(server) == b"here"


def test_who_edits_the_files_replaces_the_same_revision(server: Server, tmp_path: Path) -> None:
    install(server, made(tmp_path / "wheel", "wheel"))
    install(server, made(tmp_path / "edited", "edited", checkout=True))
    assert answer(server) == b"edited"


def test_a_newer_library_that_came_in_between_is_put_back(server: Server, tmp_path: Path) -> None:
    older, mine, newer = (made(tmp_path / str(number), f"rev {number}", number) for number in (1, 2, 3))
    install(server, older)
    conversation = mine.install()
    look = next(conversation)
    seen = server.raw.execute_command(*look, NEVER_DECODE=True)
    install(server, newer)  # after the look, before the replacement
    carry(server, conversation, seen)
    assert answer(server) == b"rev 3"


def test_processes_that_start_together_load_it_once(server: Server) -> None:
    script = (
        "import sys; from streamq.config import Config; from streamq.engines.factory import open_engine; "
        "from streamq.queue import Queue; print(open_engine(Config(url=sys.argv[1])).run(Queue('mail').stats())['enqueued'])"
    )
    racing = [
        subprocess.Popen([sys.executable, "-c", script, server.url], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate()[0].strip() for process in racing] == ["0"] * 4
    assert [process.returncode for process in racing] == [0] * 4
    assert len(server.raw.function_list()) == 1


def test_threads_that_find_it_gone_load_it_without_a_stampede(server: Server) -> None:
    engine = open_engine(Config(url=server.url))
    engine.run(Queue("mail").stats())
    server.raw.function_flush("SYNC")
    server.raw.config_resetstat()
    threads = [Thread(target=engine.run, args=(Queue("mail").stats(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.close()
    counted = {name.lower(): stat["calls"] for name, stat in server.raw.info("commandstats").items()}
    assert (counted["cmdstat_function|list"], counted["cmdstat_function|load"]) == (1, 1)


def test_a_place_in_a_lua_error_is_said_as_file_and_line(server: Server) -> None:
    engine = open_engine(Config(url=server.url))
    server.raw.set("sq:{mail}:meta", "not a hash")
    with pytest.raises(ProtocolError, match=r"WRONGTYPE .*\(lua/12_clock\.lua:\d+\)"):
        engine.run(Queue("mail").pause())
    engine.close()


def test_a_user_who_may_only_call_uses_what_is_there(server: Server) -> None:
    install(server, library())
    server.raw.acl_setuser(
        "caller", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-function"]
    )
    url = server.url.replace("unix://", "unix://caller:pw@")
    engine = open_engine(Config(url=url))
    assert engine.run(Queue("mail").stats())["enqueued"] == "0"
    server.raw.function_flush("SYNC")
    with pytest.raises(LibraryMissing, match="streamq function load"):
        engine.run(Queue("mail").stats())
    engine.close()
    server.raw.acl_deluser("caller")


def test_a_server_without_functions_runs_the_same_source_as_a_script() -> None:
    with Server("redis", extra=("--rename-command", "FUNCTION", "", "--rename-command", "FCALL", "")) as old:
        engine = open_engine(Config(url=old.url))
        assert engine.install() is Dialect.SCRIPTS
        assert engine.run(Queue("mail").stats())["enqueued"] == "0"
        old.raw.script_flush()
        assert engine.run(Queue("mail").stats())["enqueued"] == "0"
        engine.close()


def test_a_stamp_is_read_from_the_code_and_foreign_code_counts_as_oldest() -> None:
    assert Stamp.of(library().source.encode()) == library().stamp
    assert Stamp.of(b"#!lua name=streamq_1\n") == Stamp(0, "", True)
