"""Turns results of ``python -m bench`` into PERFORMANCE_REPORT.md and its plots: ``python -m bench.report RESULT.json …``.

``results`` puts files together, ``words`` says what each figure is and what was asked of it, ``derived`` works out the
headline, ``tables`` and ``plots`` show, ``page`` writes. Without files it takes the latest results of bench/results/.
"""
