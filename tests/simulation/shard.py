"""All keys of the shard as values, read raw: what the audits judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from simulation.connection import Connection

GROUP, RECORD = "workers", "@"
PSEUDO = ("lost", "suspects")
HASHES = ("meta", "counts", "heads", "consumers", "workers", "watch", "cancels", "marks", "waiters")
ZSETS = ("alive", "idle", "woken", "delayed", "following", "dead")
UNREAD = ("done", "test", "minute", "reply", "audit", "strikes", "strike", "struck")


class Entry(NamedTuple):
    """One stream entry. ``job`` is whose it is; ``owner`` is None while it was not delivered."""

    level: str
    id: str
    task: str
    job: str
    owner: str | None

    @property
    def delivery(self) -> str:
        return f"{self.level}-{self.id}"


@dataclass(slots=True)
class Shard:
    """A picture of the shard between two calls."""

    hashes: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in HASHES})
    zsets: dict[str, dict[str, float]] = field(default_factory=lambda: {name: {} for name in ZSETS})
    records: dict[str, dict[str, str]] = field(default_factory=dict)
    unique: dict[str, str] = field(default_factory=dict)
    tags: dict[str, set[str]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)
    waiting: list[Entry] = field(default_factory=list)  # never delivered, without tombstones
    tombs: list[Entry] = field(default_factory=list)  # cancelled before they were delivered
    given: list[Entry] = field(default_factory=list)
    unowned: list[Entry] = field(default_factory=list)  # delivered, not pending, not deleted
    members: dict[str, list[str]] = field(default_factory=dict)  # level -> consumers of its group
    ttl: dict[str, int] = field(default_factory=dict)  # of keys that may have one, ms

    @classmethod
    def read(cls, connection: Connection, anchor: str) -> Self:
        """All keys in two round trips."""
        names = sorted(key.decode()[len(anchor) + 1 :] for key in connection("KEYS", f"{anchor}:*"))
        plans = [(name, _questions(anchor, name)) for name in names if name.partition(":")[0] not in UNREAD]
        answers = iter(connection.pipeline([question for _, plan in plans for question in plan]))
        shard = cls()
        for name, plan in plans:
            shard._keep(name, [next(answers) for _ in plan])
        shard._sort_out_tombs()
        return shard

    def places(self) -> dict[str, list[str]]:
        """Every job and where it is; more than one place is for the audits to complain of."""
        places: dict[str, list[str]] = {}
        for entry in self.waiting:
            places.setdefault(entry.job, []).append("ready")
        for entry in self.given:
            places.setdefault(entry.job, []).append(entry.owner or "")
        for name in ("delayed", "following", "dead"):
            for job in self.zsets[name]:
                places.setdefault(job, []).append(name)
        return places

    def _keep(self, name: str, answers: list[Any]) -> None:
        kind, _, rest = name.partition(":")
        value = answers[0]
        if len(answers) == 2:
            self.ttl[name] = answers[1]
        if kind == "ready":
            self._keep_stream(rest, *answers)
        elif kind == "job":
            self.records[rest] = _pairs(value)
        elif kind == "unique":
            self.unique[rest] = value.decode()
        elif kind == "tag":
            self.tags[rest] = {member.decode() for member in value}
        elif kind == "commands":
            self.commands[rest] = [text.decode() for text in value]
        elif kind in HASHES:
            self.hashes[kind] = _pairs(value)
        elif kind in ZSETS:
            self.zsets[kind] = {member: float(score) for member, score in _pairs(value).items()}

    def _keep_stream(self, level: str, entries: Any, pending: Any, groups: Any, members: Any) -> None:
        owners = {row[0].decode(): row[1].decode() for row in pending}
        facts = dict(zip(groups[0][::2], groups[0][1::2], strict=True))
        delivered = order(facts[b"last-delivered-id"].decode())
        self.members[level] = [
            dict(zip(row[::2], row[1::2], strict=True))[b"name"].decode() for row in members
        ]
        for raw, fields in entries:
            entry_id, task, value = raw.decode(), fields[0].decode(), fields[1].decode()
            job = value if task == RECORD else f"{level}-{entry_id}"
            entry = Entry(level, entry_id, task, job, owners.pop(entry_id, None))
            if entry.owner:
                self.given.append(entry)
            elif order(entry_id) > delivered:
                self.waiting.append(entry)
            else:
                self.unowned.append(entry)
        self.unowned += [Entry(level, entry_id, "", "no entry", owner) for entry_id, owner in owners.items()]

    def _sort_out_tombs(self) -> None:
        gone = {name for name, what in self.hashes["cancels"].items() if what == "gone"}
        self.tombs = [entry for entry in self.waiting if entry.delivery in gone]
        self.waiting = [entry for entry in self.waiting if entry.delivery not in gone]


def order(entry_id: str) -> tuple[int, int]:
    """Entry ids as numbers."""
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)


def _pairs(flat: Any) -> dict[str, str]:
    return {flat[i].decode(): flat[i + 1].decode() for i in range(0, len(flat), 2)}


def _questions(anchor: str, name: str) -> list[tuple[Any, ...]]:
    key, kind = f"{anchor}:{name}", name.partition(":")[0]
    if kind == "ready":
        return [
            ("XRANGE", key, "-", "+"),
            ("XPENDING", key, GROUP, "-", "+", 100_000),
            ("XINFO", "GROUPS", key),
            ("XINFO", "CONSUMERS", key, GROUP),
        ]
    if kind in ("job", "producer", "progress"):
        return [("HGETALL", key), ("PTTL", key)]
    if kind == "unique":
        return [("GET", key), ("PTTL", key)]
    if kind == "tag":
        return [("ZRANGE", key, 0, -1)]
    if kind == "commands":
        return [("LRANGE", key, 0, -1)]
    if kind in ZSETS:
        return [("ZRANGE", key, 0, -1, "WITHSCORES")]
    if kind in HASHES:
        return [("HGETALL", key)]
    raise ValueError(f"a key that the protocol does not know: {key}")
