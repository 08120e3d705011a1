"""Running jobs: ``run`` supervises worker processes, ``Worker`` works inside a program or a test.

The way of a job: ``fetch`` takes it, ``bench`` runs it (``threads`` when it is sync, ``isolate`` when it must be killable),
``endings`` and ``verdict`` say how it ended, ``outbox`` carries that to the next take.
"""

from __future__ import annotations

from streamq.worker.supervisor import run
from streamq.worker.worker import Limits, Worker

__all__ = ["Limits", "Worker", "run"]
