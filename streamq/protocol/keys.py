"""Names of keys, and the ids of jobs. Every key of a shard begins with its anchor, which holds the one hash tag."""

from __future__ import annotations

import re
from typing import NamedTuple

from streamq.errors import JobNotFound

__all__ = ["JobId", "anchor_of", "record_key", "reply_key", "wake_channel"]

_LOCAL = re.compile(r"^(?P<place>.+)-(?P<local>\d-\d+-\d+)$")


def anchor_of(namespace: str, queue: str, shard: int | None = None) -> str:
    """The key prefix of a shard: ``sq:{mail}``, or ``sq:{mail/3}`` for a queue with several shards."""
    return f"{namespace}:{{{queue}}}" if shard is None else f"{namespace}:{{{queue}/{shard}}}"


def record_key(anchor: str, local_id: str) -> str:
    """The hash of a job that has a record."""
    return f"{anchor}:job:{local_id}"


def reply_key(anchor: str, token: str) -> str:
    """The list on which somebody waits for results."""
    return f"{anchor}:reply:{token}"


def wake_channel(anchor: str, consumer: str) -> str:
    """The shard channel on which one consumer is woken."""
    return f"{anchor}:w:{consumer}"


class JobId(NamedTuple):
    """A job's id in its parts. ``str()`` gives the form that people see: ``mail-5-1732448000000-0``."""

    queue: str
    shard: int | None
    local: str

    @classmethod
    def parse(cls, text: str) -> JobId:
        """The parts of an id, or ``JobNotFound`` with the form that an id must have."""
        found = _LOCAL.match(text)
        if not found:
            raise JobNotFound(
                f"'{text}' is not a job id; one looks like mail-5-1732448000000-0 (queue-level-entry)"
            )
        queue, slash, shard = found["place"].rpartition("/")
        if slash and shard.isdigit():
            return cls(queue, int(shard), found["local"])
        return cls(found["place"], None, found["local"])

    @property
    def level(self) -> int:
        """The priority level, 0 to 9."""
        return int(self.local[0])

    def anchor(self, namespace: str) -> str:
        """The anchor of the shard that holds the job."""
        return anchor_of(namespace, self.queue, self.shard)

    def __str__(self) -> str:
        place = self.queue if self.shard is None else f"{self.queue}/{self.shard}"
        return f"{place}-{self.local}"
