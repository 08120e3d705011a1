"""The limit: the life of a job in raw commands from a C client without any logic, as fast as the server can."""

from __future__ import annotations

import subprocess

from bench.compiling import NoCompiler, compiled
from bench.ground import Run, middle
from bench.places import CACHE, ROOT

SOURCE = ROOT / "bench/limit/life.c"
BATCH = 200
ROUNDS = 3


def measure(run: Run) -> dict[str, object]:
    """Jobs/s to add, to drain, and through the whole life (added, taken and ended at once), by number of connections."""
    try:
        program = str(compiled(SOURCE, CACHE / "limit"))
    except NoCompiler as reason:
        return {"not_available": str(reason)}
    jobs = max(run.size(300_000), 4 * BATCH)
    figures: dict[str, object] = {}
    for connections in (1, 2):
        rates: dict[str, list[float]] = {"add": [], "drain": [], "both": []}
        for _ in range(ROUNDS):
            run.server.flush()
            run.server.raw.xgroup_create("raw", "g", "0", mkstream=True)
            for what, each in rates.items():
                each.append(_rate(run, program, what, jobs, connections))
        figures |= {f"{what}_{connections}_jobs_per_s": middle(taken) for what, taken in rates.items()}
    return figures


def _rate(run: Run, program: str, what: str, jobs: int, connections: int) -> float:
    """Fails when a job is left in the stream after it was drained."""
    command = [program, what, str(run.server.socket), str(jobs), str(connections), str(BATCH)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout.split()
    left = run.server.raw.xlen("raw")
    assert left == (int(answer[0]) if what == "add" else 0), f"{left} jobs are in the stream after '{what}'"
    return int(answer[0]) / float(answer[1])
