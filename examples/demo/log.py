"""The log of the workers, read while it grows: what the demo says of processes that died, and the end of it for errors."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class WorkersLog:
    """A file of one JSON object a line, written by ``streamq work --log json``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self._given_back: Counter[int] = Counter()

    def deaths(self) -> Iterator[str]:
        """A sentence for each worker process that died since the last call."""
        for event in self._news():
            if event["event"] == "worker.jobs_given_back":
                self._given_back[event["pid"]] += event["moved"]
            elif event["event"] == "worker.lost":
                count = self._given_back[event["pid"]]
                jobs = "the job that it ran alone was" if event["alone"] else f"{count} jobs that it had were"
                yield f"worker process {event['pid']} died ({event['why']}): {jobs} given back, another process follows"

    def end(self) -> str:
        """The last lines."""
        return "\n".join(self.path.read_text().strip().splitlines()[-15:])

    def _news(self) -> Iterator[dict[str, Any]]:
        """The events of the lines that have become whole since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + 1 if whole else 0
        return map(json.loads, filter(lambda line: line.startswith(b"{"), whole.splitlines()))
