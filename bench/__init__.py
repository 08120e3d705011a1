"""Measurements of streamq: ``python -m bench`` runs them all, ``python -m bench drain pickup`` some, ``--quick`` shortly.

Every figure is taken on a private server beside a raw limit or a peer in the same run, because machines are noisy; results go
to ``bench/results/`` as JSON, and ``python -m bench.report FILE`` turns one into PERFORMANCE_REPORT.md.
"""
