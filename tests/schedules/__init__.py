"""Tests of streamq/schedules, and the campaign over every time zone from 2020 to 2040.

PYTHONPATH=tests python -m schedules
PYTHONPATH=tests python -m schedules --zones 40 --from 2026 --to 2027
"""
