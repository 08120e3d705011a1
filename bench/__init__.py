"""Measurements of streamq: ``python -m bench`` runs them, ``python -m bench drain pickup`` some, ``--quick`` shortly.

Every figure is taken on a private server beside a raw limit or a peer in the same run, because machines are noisy; results go
to ``bench/results/`` as JSON, and ``python -m bench.report`` turns them into PERFORMANCE_REPORT.md.

    python -m bench limit                       the life of a job in raw commands, from C: what the server could do
    python -m bench --peers arq,bullmq          other queues in the same run (``peers`` for all; installs into .bench/)
    python -m bench.profile                     where a job's microseconds go
    python -m bench.compare BEFORE AFTER        regressions, with exit code 1
    python -m bench.soak 10m                    Locust's producers (locustfile.py) against a fleet; memory and lost jobs
"""
