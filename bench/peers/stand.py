"""A peer on the run's server, measured: one round takes every figure once."""

from __future__ import annotations

import queue
import random
import time
from dataclasses import dataclass
from functools import cached_property

from bench.ground import Run, percentile
from bench.peers.crew import PATIENCE, Crew
from bench.peers.description import Peer
from bench.peers.listening import Listening
from bench.peers.postgres import Postgres

__all__ = ["Stand"]

SECONDS = 4  # about how long one process drains
WARM = 3  # jobs before pick-up is measured


@dataclass(frozen=True)
class Stand:
    """One peer and the run; ``postgres`` is the run's, when the peer wants one."""

    peer: Peer
    run: Run
    postgres: Postgres | None = None

    def round(self) -> dict[str, float]:
        """Every figure once, on an empty server. Raises PeerFailed."""
        figures = self._single()
        for processes in (1, 2):
            figures |= self._fill()
            figures[f"drain_{processes}_jobs_per_s"] = self._drain(processes)
        figures |= self._pickup()
        self._flush()
        return figures

    @property
    def _jobs(self) -> int:
        return max(200, int(self.peer.pace * SECONDS * self.run.scale))

    @cached_property
    def _crew(self) -> Crew:
        server = self.run.server
        extra = {
            "BENCH_SOCKET": str(server.socket),
            "BENCH_PORT": str(server.port),
            "BENCH_TALLY": str(server.folder / "tally"),
            "BENCH_POSTGRES": self.postgres.url if self.postgres else "",
        }
        return Crew(self.peer, extra, server.folder / f"{self.peer.name}.log")

    # Figures

    def _single(self) -> dict[str, float]:
        self._flush()
        with self._crew.producer("single", max(100, int(1000 * self.run.scale))) as producer:
            found = self._crew.answer(producer)
        return {f"single_{name}": value for name, value in found.items()}

    def _fill(self) -> dict[str, float]:
        self._flush()
        before = self._used()
        with self._crew.producer("fill", self._jobs) as producer:
            found = self._crew.answer(producer)
        bulk = {"bulk_jobs_per_s": found["jobs_per_s"]} if self.peer.bulk else {}
        return {"server_bytes_per_job": (self._used() - before) / self._jobs, **bulk}

    def _drain(self, processes: int) -> float:
        with self._listening() as listening, self._crew.workers(processes) as workers:
            self._crew.wait(lambda: listening.total >= self._jobs, workers, "not all jobs were run")
            return listening.rate(self._jobs)

    def _pickup(self) -> dict[str, float]:
        """A job at a time, at odd moments, so that nobody's polling is hit or missed by rule."""
        jobs, times = max(20, int(100 * self.run.scale)), list[float]()
        self._flush()
        with (
            self._listening() as listening,
            self._crew.workers(1),
            self._crew.producer("stamp", jobs + WARM) as producer,
        ):
            assert producer.stdin is not None
            for number in range(jobs + WARM):
                time.sleep(random.uniform(0.005, 0.03))
                producer.stdin.write("now\n")
                producer.stdin.flush()
                try:
                    late = listening.lates.get(timeout=PATIENCE if number == 0 else 20)
                except queue.Empty:
                    raise self._crew.failed("a job was not picked up") from None
                if number >= WARM:
                    times.append(late)
        return {"pickup_p50_ms": percentile(times, 0.5), "pickup_p99_ms": percentile(times, 0.99)}

    # Server

    def _listening(self) -> Listening:
        return Listening(self.run.server.folder / "tally")

    def _flush(self) -> None:
        self.run.server.flush()
        self.run.server.raw.script_flush()
        if self.postgres:
            self.postgres.flush()

    def _used(self) -> int:
        if self.postgres:
            return self.postgres.size()
        return int(self.run.server.raw.info("memory")["used_memory"])
