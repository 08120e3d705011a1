"""A shard as redis-cli sees it: functions called by name with strings, and all of its keys compared."""

from __future__ import annotations

from typing import Any

import redis

from streamq.protocol.consume import handed_out

NOW = 1_700_000_000_000
LEASE = 3_000


Picture = dict[Any, tuple[Any, bool]]  # key -> its exact content, and whether it ends by itself


class Shard:
    """Calls functions on one anchor. Virtual time stands still unless ``now`` is moved."""

    def __init__(self, client: redis.Redis, anchor: str) -> None:
        self.client, self.anchor = client, anchor
        self.now = NOW
        self.named: dict[str, str] = {}  # what ``fill`` made, by a name for tests

    def call(self, function: str, *args: object) -> Any:
        """``FCALL sq1_<function> 1 <anchor> <now> args…``; a refusal is raised as ``redis.ResponseError``."""
        return self.client.fcall(f"sq1_{function}", 1, self.anchor, self.now, *args)

    def key(self, name: str) -> str:
        """A key of this shard."""
        return f"{self.anchor}:{name}"

    def enqueue(self, *jobs: object) -> list[str]:
        """Add jobs given as spec, task, body and pairs; their entry ids in order."""
        runs = self.call("enqueue", "-", "0", "0", *jobs)[0].decode().split()
        ids = []
        for first, count in zip(runs[::2], runs[1::2], strict=True):
            ms, _, seq = first.partition("-")
            ids += [f"{ms}-{int(seq) + i}" for i in range(int(count))]
        return ids

    def register(self) -> str:
        """A fresh consumer."""
        consumer: str = self.call("register", LEASE, "test")[0].decode()
        return consumer

    def take(self, consumer: str, n: int, *settlements: object, isolate: int = 0) -> list[tuple[str, Any]]:
        """What is handed out, as pairs of level and row."""
        reply = self.call("take", consumer, 0, n, isolate, *settlements)
        groups = reply[9] + reply[10]
        return [(level.decode(), row) for level, rows in handed_out(groups) for row in rows]

    def picture(self) -> Picture:
        """All keys with their exact content, and whether they end by themselves."""
        keys = sorted(self.client.keys("*"))
        pipe = self.client.pipeline(transaction=False)
        for key in keys:
            pipe.dump(key)
            pipe.pttl(key)
        answers = pipe.execute()
        return {key: (answers[2 * i], answers[2 * i + 1] > 0) for i, key in enumerate(keys)}

    def restore(self, picture: Picture) -> None:
        """Make the shard what it was."""
        pipe = self.client.pipeline(transaction=False)
        pipe.flushall()
        for key, (dump, ends) in picture.items():
            pipe.restore(key, 86_400_000 if ends else 0, dump)
        pipe.execute()

    def fill(self) -> None:
        """Jobs in every state, the rare ones too: suspended, struck, asked to stop, lost, suspect, kept, at a gate, of a flow."""
        gone, busy = self.register(), self.register()
        self.enqueue("5", "mail", "a", "5", "mail", "b")
        (_, lost), (_, suspect) = self.take(gone, 2)
        self.call("abandon", gone, "shared", 0, f"5-{suspect[0].decode()}")
        names = ("running", "asked", "dead", "retrying", "struck", "kept", "suspended")
        entries = self.enqueue(*(part for name in names for part in ("9", "mail", name)))
        self.take(busy, len(names))
        for name, entry in zip(names, entries, strict=True):
            self.named[name] = f"9-{entry}"
        self.call("cancel", self.named["asked"])
        self.call("strike", "s1", "mail", 2, "note", "why", "to", "x")
        dead, retrying, struck, kept, suspended = (self.named[name][2:] for name in names[2:])
        delivery = ("9", suspended, self.named["suspended"])
        self.call("await", busy, 0, *delivery, "signal", "approved", 90_000, "default")
        self.take(
            busy, 0, "dead", "9", dead, 2, "error", "E: x", "retry", "9", retrying, 2, "delay", 9_000,
            "strike", "9", struck, 2, "reason", "s1",
            "done", "9", kept, 4, "result", "r", "ttl", 90_000,
            "wait", "9", suspended, 2, "for", "signal approved",
        )  # fmt: skip
        (waiting,) = self.enqueue("1", "mail", "w")
        (unique,) = self.enqueue("1:4", "mail", "u", "unique", "key", "tags", "red,blue")
        (delayed,) = self.enqueue("1:2", "mail", "d", "delay", 60_000)
        (tomb,) = self.enqueue("1", "mail", "t")
        self.call("cancel", f"1-{tomb}")
        self.call("wait", f"1-{waiting}", self.key("reply:1"))
        self.call("enqueue", "p" * 22, "0", "7", "5", "mail", "once")
        definition = ("expression", "every hour", "task", "mail", "level", "5", "body", "s", "grace", "1000")
        for name, *source in (("hourly", "api"), ("nightly", "code", "app", "shop")):
            pairs = [*definition, *source[1:]]
            self.call("schedule_put", name, source[0], NOW + 60_000, NOW + 60_000, len(pairs), *pairs)
        ms, _, seq = self.call("flow_open", "order", 90_000, 3).decode().partition("-")
        self.named |= {
            "flow": f"0-{ms}-{seq}",
            "skipped": f"5-{ms}-{int(seq) + 2}",
            "reserved": f"{ms}-{int(seq) + 3}",
        }
        flow, skipped = f"mail-{self.named['flow']}", self.named["skipped"][2:]
        (gated,) = self.enqueue("5:2", "mail", "g", "after", f"mail-1-{waiting}=success post-5-1-1=any+")
        self.enqueue("5:6", "mail", "s", "after", "mail-5-1-1=success+", "flow", flow, "id", skipped)
        self.call("cancel", self.named["skipped"])
        self.named |= {
            "gated": f"5-{gated}",
            "strike": "s1", "consumer": busy, "waiting": f"1-{waiting}", "unique": f"1-{unique}", "delayed": f"1-{delayed}",
            "lost": f"5-{lost[0].decode()}", "suspect": f"5-{suspect[0].decode()}",
        }  # fmt: skip
