"""Servers that move: a master that fails over behind a sentinel, and a slot that goes to another node of a cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from threading import Thread
from typing import Self

import pytest
import redis

from drivers import Awaited, Blocking
from servers import KINDS, Server, binary, free_port, until
from streamq.config import Config, Durability
from streamq.engines.moving import slot_of
from streamq.errors import ConfigError, ServerUnavailable
from streamq.protocol.enqueue import NewJob
from streamq.queue import Queue

MAIL = Queue("mail")
JOB = NewJob("send", b"")
SHELLS = [Blocking, Awaited]


def named(seq: int) -> object:
    return MAIL.push([JOB], producer="p" * 32, channel=1, seq=seq)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def cluster(kind: str) -> Iterator[list[Server]]:
    """Three masters that share the slots."""
    nodes = [Server(kind, tcp=True, extra=_cluster_options(free_port())).start() for _ in range(3)]
    try:
        for number, node in enumerate(nodes):
            first, last = ((0, 5460), (5461, 10_922), (10_923, 16_383))[number]
            node.raw.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in nodes[1:]:
            node.raw.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, nodes[0].extra[-1])
        for node in nodes:
            until(
                lambda node=node: node.raw.cluster("INFO")["cluster_state"] == "ok", "the cluster is formed"
            )
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_cluster_runs_each_queue_where_its_slot_is(
    cluster: list[Server], shell: type[Blocking | Awaited]
) -> None:
    driver = shell(_config(cluster))
    queues = [Queue(f"queue{number}") for number in range(12)]
    for queue in queues:
        assert len(driver.run(queue.push([JOB])).ids) == 1
    assert {driver.run(queue.stats())["pending"] for queue in queues} == {"1"}
    assert all(node.raw.dbsize() for node in cluster)
    assert driver.command("HGET", f"{queues[3].anchor}:meta", "enqueued") == b"1"
    assert driver.receive(f"{queues[3].anchor}:reply:none", 0.01) is None
    driver.close()


def test_a_call_waits_while_its_slot_is_moved_and_then_finds_it(cluster: list[Server]) -> None:
    driver = Blocking(_config(cluster))
    driver.run(named(1))
    slot = slot_of(MAIL.anchor)
    source = next(node for node in cluster if node.raw.dbsize())
    target = next(node for node in cluster if node is not source)
    _id = {node: node.raw.execute_command("CLUSTER", "MYID") for node in (source, target)}
    target.raw.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", _id[source])
    source.raw.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", _id[target])
    waiting = Thread(target=driver.run, args=(named(2),))
    waiting.start()
    keys = source.raw.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
    source.raw.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    for node in (target, source):
        node.raw.execute_command("CLUSTER", "SETSLOT", slot, "NODE", _id[target])
    waiting.join()
    assert driver.run(MAIL.stats())["enqueued"] == "2"
    assert (source.raw.dbsize(), target.raw.dbsize() > 0) == (0, True)
    driver.close()


def test_the_library_can_be_put_on_every_master(cluster: list[Server]) -> None:
    driver = Blocking(_config(cluster))
    driver.engine.install()
    assert [len(node.raw.function_list()) for node in cluster] == [1, 1, 1]
    driver.close()


@pytest.mark.parametrize("shell", SHELLS)
def test_after_a_failover_the_new_master_is_found(kind: str, shell: type[Blocking | Awaited]) -> None:
    sync = ("--repl-diskless-sync-delay", "0")
    with (
        Server(kind, tcp=True, extra=sync) as master,
        Server(kind, tcp=True, extra=("--replicaof", "127.0.0.1", str(master.port))) as replica,
    ):
        until(lambda: replica.raw.info("replication")["master_link_status"] == "up", "the replica is in step")
        with _Sentinel(master) as sentinel:
            driver = shell(Config(url=f"{sentinel.url}/mymaster", reconnect_for=20))
            assert driver.run_durably(named(1), Durability.REPLICATED).reached is Durability.REPLICATED
            master.kill()
            driver.run(named(2))
            assert driver.run(MAIL.stats())["enqueued"] == "2"
            driver.close()
            unknown = shell(Config(url=f"{sentinel.url}/other"))
            with pytest.raises(ServerUnavailable, match="knows the master 'other'"):
                unknown.run(MAIL.stats())
            unknown.close()


@pytest.mark.parametrize(
    ("url", "said"), [("sentinel://127.0.0.1:1", "names no master"), ("cluster://", "no host")]
)
def test_a_url_without_what_it_needs_is_refused(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Blocking(Config(url=url)).run(MAIL.stats())


def test_a_slot_is_that_of_the_hash_tag() -> None:
    assert slot_of("foo") == 12182  # the example of Redis's cluster specification
    assert slot_of("sq:{foo}:meta") == slot_of("sq:{foo}") == 12182
    assert slot_of("{}foo") != slot_of("foo")  # an empty tag is none


class _Sentinel:
    """A sentinel that watches one master, alone."""

    def __init__(self, master: Server) -> None:
        self.master, self.port = master, free_port()
        self.url = f"sentinel://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        file = self.master.folder / "sentinel.conf"
        file.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.master.folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 300\nsentinel failover-timeout mymaster 2000\n"
        )
        program = binary(self.master.kind)
        assert program is not None
        command = [program, str(file), "--sentinel"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._ask = self.master.connect(unix_socket_path=None, host="127.0.0.1", port=self.port)
        until(self._knows_a_replica, "the sentinel knows the replica, without which it has nobody to promote")
        return self

    def __exit__(self, *_: object) -> None:
        self._ask.close()
        self._process.terminate()
        self._process.wait()

    def _knows_a_replica(self) -> bool:
        try:
            found = self._ask.execute_command("SENTINEL", "REPLICAS", "mymaster", NEVER_DECODE=True)
        except redis.ConnectionError:  # it is starting
            return False
        return any(b"ok" in (one[b"master-link-status"] if isinstance(one, dict) else one) for one in found)


def _cluster_options(bus: int) -> tuple[str, ...]:
    return ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", str(bus))


def _config(nodes: list[Server]) -> Config:
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    return Config(url=f"cluster://{hosts}")
