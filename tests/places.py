"""Shards that depend on each other: each knows its queue's name, and its messages can be carried to the others."""

from __future__ import annotations

from shards import Shard


class Place(Shard):
    """A shard that knows its queue's name, and can carry its messages as a worker does."""

    @property
    def queue(self) -> str:
        return self.anchor.partition("{")[2].rstrip("}")

    def full(self, job: str) -> str:
        return f"{self.queue}-{job}"

    def add(self, task: str, *pairs: object, level: int = 5) -> str:
        """A job; its local id."""
        spec = f"{level}:{len(pairs)}" if pairs else str(level)
        return f"{level}-{self.enqueue(spec, task, 'body', *pairs)[0]}"

    def reserve(self, count: int) -> list[str]:
        ms, _, seq = self.call("reserve", count).decode().partition("-")
        return [f"{ms}-{int(seq) + i}" for i in range(count)]

    def state(self, job: str) -> str:
        fields = [part.decode("utf-8", "replace") for part in self.call("job", job)]
        return dict(zip(fields[::2], fields[1::2], strict=True)).get("state", "unknown")

    def explained(self, job: str) -> str:
        return "\n".join(part.decode() for part in self.call("explain", job))

    def balance(self) -> int:
        found: int = self.call("conservation")[0]
        return found

    def run(self, consumer: str, outcome: str = "done", *pairs: object) -> list[str]:
        """Take all there is, and end it so; the jobs."""
        jobs = []
        for level, row in self.take(consumer, 100):
            jobs.append((row[2][0] if row[1] == b"@" else f"{level}-{row[0].decode()}".encode()).decode())
            self.take(consumer, 0, outcome, level, row[0], len(pairs), *pairs)
        return jobs

    def relay(self, to: Place) -> int:
        """Carry all messages to the other shard; how many there were."""
        parts = self.call("outbox", "0-0")
        messages = [parts[i : i + 7] for i in range(0, len(parts), 7)]
        for message in messages:
            assert message[1].decode() == to.queue
            to.call("hear", *message[1:])
            to.call("hear", *message[1:])  # at least once
        if messages:
            self.call("relayed", *[message[0] for message in messages])
        return len(messages)
