"""Random graphs over two shards, with failures, conditions, cancels, crashes, and messages that are lost or come twice.

What must hold: every job ends, in an order that the graph allows, as its parents and its own run say; none is completed
twice; the flow knows how each ended; and nothing is left behind but what is kept on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from places import Place
from servers import Server
from streamq.library import library

HOUR = 3_600_000
FAILED = {"dead", "cancelled", "expired"}
ENDS = {"done": "completed", "dead": "dead", "skip": "skipped", "cancelled": "cancelled"}


@dataclass
class Node:
    """A job of the graph, and what happened to it."""

    place: Place
    local: str
    edges: dict[int, str]
    outcome: str
    retries: int
    runs: int = 0
    begun: bool = False
    ends: list[str] = field(default_factory=list)

    @property
    def full(self) -> str:
        return self.place.full(self.local)


@dataclass
class World:
    """Two shards with a worker each, and the graph in them."""

    random: Random
    places: list[Place]
    nodes: list[Node] = field(default_factory=list)
    workers: dict[str, str] = field(default_factory=dict)
    held: dict[str, list[tuple[str, bytes, int]]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    flow: str = ""
    is_committed: bool = False

    # -- the graph

    def build(self, count: int) -> None:
        home = self.places[0]
        ms, _, seq = home.call("flow_open", "random", HOUR, count).decode().partition("-")
        self.flow = f"0-{ms}-{seq}"
        ids = {home.queue: [f"{ms}-{int(seq) + 1 + i}" for i in range(count)]}
        ids[self.places[1].queue] = self.places[1].reserve(count)
        for number in range(count):
            place = self.random.choice(self.places)
            parents = [one for one in range(number) if self.random.random() < 0.35][:5]
            edges = {one: self.random.choice(["success"] * 4 + ["any", "any", "failure"]) for one in parents}
            outcome = self.random.choice(["done"] * 7 + ["dead", "skip", "cancelled"])
            level = self.random.randrange(10)
            node = Node(
                place, f"{level}-{ids[place.queue][number]}", edges, outcome, self.random.choice([0, 0, 0, 1])
            )
            self.nodes.append(node)
        for number in self.random.sample(range(count), count):
            self._add(self.nodes[number])
            if self.random.random() < 0.3:
                self.random.choice([self.relay, self.work])()
        self.is_committed = True
        rows = [part for node in self.nodes for part in ("main", node.full, "x")]
        home.call("flow_commit", self.flow, *rows)

    def _add(self, node: Node) -> None:
        home, start = self.places[0], f"1{self.flow[1:]}"
        wants = [self.random.choice(["", "+"]) for _ in node.edges]
        edges = [
            f"{self.nodes[one].full}={on}{want}"
            for (one, on), want in zip(node.edges.items(), wants, strict=True)
        ]
        if "success" not in node.edges.values():
            edges.append(f"{home.full(start)}=success")
        pairs = ["id", node.local[2:], "flow", home.full(self.flow), "after", " ".join(edges)]
        node.place.enqueue(f"{node.local[0]}:{len(pairs)}", "task", "body", *pairs)

    # -- what may happen

    def step(self) -> None:
        self.random.choice(
            [self.work] * 6 + [self.relay] * 3 + [self.crash, self.cancel, self.pass_time, self.lose]
        )()

    def worker(self, place: Place) -> str:
        if place.queue not in self.workers:
            self.workers[place.queue] = place.register()
            self.held[place.queue] = []
        return self.workers[place.queue]

    def work(self) -> None:
        place = self.random.choice(self.places)
        me, held = self.worker(place), self.held[place.queue]
        if held and self.random.random() < 0.6:
            level, entry, number = held.pop(self.random.randrange(len(held)))
            self._end(place, me, level, entry, number)
            return
        for level, row in place.take(me, self.random.randint(1, 3)):
            assert row[1] == b"@"
            number = next(
                n
                for n, node in enumerate(self.nodes)
                if node.place is place and node.local.encode() == row[2][0]
            )
            self._begin(number)
            held.append((level, row[0], number))

    def _begin(self, number: int) -> None:
        node = self.nodes[number]
        assert self.is_committed, "a job runs before all are there"
        assert not node.ends, f"job {number} runs after its end"
        assert node.begun or self.allowed(number), (
            f"job {number} runs before its parents have ended as it needs"
        )
        node.begun = True
        node.runs += 1

    def _end(self, place: Place, me: str, level: str, entry: bytes, number: int) -> None:
        node = self.nodes[number]
        if node.retries and number not in self.cancelled:
            node.retries -= 1
            place.call("take", me, 0, 0, 0, "retry", level, entry, 4, "delay", 10, "error", "E: x")
            return
        pairs = ("result", f"r{number}") if node.outcome == "done" else ()
        reply = place.call("take", me, 0, 0, 0, node.outcome, level, entry, len(pairs), *pairs)
        assert reply[5] == [], "what is its own is not refused"
        obeys = number in self.cancelled and node.outcome not in ("done", "dead")
        node.ends.append("cancelled" if obeys else ENDS[node.outcome])

    def relay(self, *, surely: bool = False) -> None:
        for place, other in (self.places, self.places[::-1]):
            parts = place.call("outbox", "0-0")
            for i in range(0, len(parts), 7):
                for _ in range(self.random.choice([1, 1, 2])):
                    other.call("hear", *parts[i + 1 : i + 7])
                if surely or self.random.random() < 0.8:
                    place.call("relayed", parts[i])

    def crash(self) -> None:
        place = self.random.choice(self.places)
        me = self.worker(place)
        place.call("abandon", me, "shared", 0)
        del self.workers[place.queue]
        for _, _, number in self.held.pop(place.queue):
            self.nodes[number].runs -= 1  # lost with its worker: the same opening runs once more

    def cancel(self) -> None:
        if self.random.random() < 0.3:
            number = self.random.randrange(len(self.nodes))
            answer = self.nodes[number].place.call("cancel", self.nodes[number].local)
            if answer == b"ASKED":
                self.cancelled.add(number)
            if answer == b"CANCELLED":
                self.nodes[number].ends.append("cancelled")

    def lose(self) -> None:
        """A message about a gate is lost, as after a failover; those about the flow's jobs are not in question here."""
        place = self.random.choice(self.places)
        for entry, fields in place.client.xrange(place.key("outbox")):
            if fields[b"kind"] in (b"close", b"attend") and self.random.random() < 0.5:
                place.call("relayed", entry)

    def pass_time(self) -> None:
        for place in self.places:
            place.now += self.random.choice([100, 5_000, 61_000])
        for place in self.places:
            place.call("renew", 80_000_000, self.worker(place))

    def finish(self) -> None:
        for _ in range(400):
            self.relay()
            self.work()
            if not any(
                self.states(place, "waiting", "pending", "active", "delayed") for place in self.places
            ):
                break
            if self.random.random() < 0.2:
                for place in self.places:
                    place.now += 610_000 if self.random.random() < 0.3 else 21_000
                for place in self.places:
                    place.call("renew", 80_000_000, self.worker(place))
        for _ in range(3):
            self.relay(surely=True)

    # -- what must hold

    def allowed(self, number: int) -> bool:
        """Whether all parents have ended so that the job may run."""
        node = self.nodes[number]
        ends = {one: self.end(one) for one in node.edges}
        if any(end is None for end in ends.values()):
            return False
        if any(on == "success" and ends[one] != "completed" for one, on in node.edges.items()):
            return False
        failing = [one for one, on in node.edges.items() if on == "failure"]
        return not failing or any(self.own_end(one) in FAILED for one in failing)

    def own_end(self, number: int) -> str | None:
        """How a job ended by itself. One that was asked to stop, and lost its worker then, was cancelled."""
        node = self.nodes[number]
        return node.ends[0] if node.ends else "cancelled" if number in self.cancelled else None

    def end(self, number: int) -> str | None:
        return self.own_end(number) or self.travelled(number)

    def travelled(self, number: int) -> str | None:
        """How a job ended that did not run because of its parents, if it did."""
        node = self.nodes[number]
        if not node.edges:
            return None
        ends = {one: self.end(one) for one in node.edges}
        unmet = [ends[one] for one, on in node.edges.items() if on == "success"]
        ways = {way for end in unmet if end not in (None, "completed") for way in str(end).split("/")}
        if ways:
            return "/".join(sorted({way if way in ("cancelled", "expired") else "skipped" for way in ways}))
        if any(end is None for end in ends.values()):
            return None
        return None if self.allowed(number) else "skipped"

    def states(self, place: Place, *names: str) -> int:
        reply = [part.decode() for part in place.call("stats")]
        found = dict(zip(reply[::2], reply[1::2], strict=True))
        return sum(int(found[name]) for name in names)

    def check(self) -> None:
        told = {
            row[0].decode(): row[3].decode()
            for row in self.places[0].call("flow_jobs", self.flow, "-", 500)[1:]
        }
        for number, node in enumerate(self.nodes):
            assert len(node.ends) <= 1, f"job {number} ended {node.ends}"
            due = self.own_end(number) or f"-{self.travelled(number)}"
            assert told[node.full].lstrip("-") in due.lstrip("-").split("/"), (number, told[node.full], due)
            assert told[node.full].startswith("-") == due.startswith("-"), (number, told[node.full], due)
        fields = [part.decode() for part in self.places[0].call("flow", self.flow)]
        failed = any(self.own_end(number) in FAILED for number in range(len(self.nodes)))
        assert dict(zip(fields[::2], fields[1::2], strict=True))["state"] == (
            "failed" if failed else "completed"
        )
        for place in self.places:
            assert place.balance() == 0
            kinds = {
                key.decode().removeprefix(f"{place.anchor}:").partition(":")[0]
                for key in place.client.keys(f"{place.anchor}:*")
            }
            assert not kinds & {"gate", "gates", "children", "closing", "outbox"}, kinds
            meta = place.client.hmget(place.key("meta"), "parents", "closing", "outbox", "waiters")
            assert [int(value or 0) for value in meta] == [0, 0, 0, 0]
            outputs = [
                key for key in place.client.keys(f"{place.anchor}:output:*") if place.client.pttl(key) < 0
            ]
            dead = {node.local.encode() for node in self.nodes if node.ends == ["dead"]}
            assert all(dead & set(place.client.hkeys(key)) for key in outputs), "an output is kept for nobody"


def play(server: Server, seed: int, most: int = 14) -> None:
    """One random graph, and what happens to it, from its seed."""
    for key in server.raw.keys("*"):
        server.raw.delete(key)
    random = Random(seed)
    world = World(random, [Place(server.raw, "sq:{mail}"), Place(server.raw, "sq:{post}")])
    world.build(random.randint(1, most))
    for _ in range(random.randint(0, 80)):
        world.step()
    world.finish()
    world.check()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_every_job_of_a_random_graph_ends_as_its_parents_say_and_runs_once(valkey: Server, seed: int) -> None:
    valkey.raw.function_load(library().source, replace=True)
    play(valkey, seed)


PLANTS = {
    "closing does not look for the edge": (
        "  if not edge then return sq.keep_for_later(c, job, parent, status, result) end\n",
        "  if not edge then edge = 'success' end\n",
    ),
    "a failure opens": ("if on == 'success' and status ~= 'completed' then", "if status == 'never' then"),
    "children elsewhere are not told": (
        "elseif place then\n      if not away",
        "elseif not place then\n      if not away",
    ),
    "who comes late is not told": (
        "    if status then return status, result end\n    if not lives and",
        "    if not lives and",
    ),
    "a dead job does not tell": ("  sq.tell_kin(c, job, {unpack(r, 5)}, 'dead')\n", ""),
    "parents are not asked again": ("  pcall(sq.ask_parents, c)\n", ""),
    "outputs stay": ("  if r[6] then sq.release_outputs(c, job, r[6], runs_again) end\n", ""),
    "a flow starts before its commit": ("return r[2] and 'completed' or", "return 'completed', true or"),
    "what travels counts as a failure": (
        "local told = because and '-' .. status or status",
        "local told = status",
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_seen(valkey: Server, plant: str) -> None:
    right, wrong = PLANTS[plant]
    source = library().source
    assert source.count(right) == 1, "the plant has lost its place"
    valkey.raw.function_load(source.replace(right, wrong), replace=True)
    with pytest.raises(AssertionError):  # noqa: PT012 - one of the seeds
        for seed in range(60):
            play(valkey, seed, most=25)
