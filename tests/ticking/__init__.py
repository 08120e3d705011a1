"""Schedulers that are killed: many real processes tick the same schedules, in virtual time, and each time gets one job.

The processes hold the worker's own conversations with a real server. Their clock is a number in shared memory that the
driver moves, some hundred times as fast as the real one, so that what a process was told of is given to others while it
still works. At the end the jobs on the server are compared with the times that each schedule should have had.

    PYTHONPATH=tests python -m ticking --processes 8 --schedules 1000 --hours 10
    PYTHONPATH=tests python -m ticking --schedules 200 --hours 2 --plant all
"""
