"""How streamq grows: the same figures at more and more queued jobs, connections, queues, delayed jobs and servers.

A module for each axis gives points: figures at one size, named ``<axis>_<size>.<figure>`` (``curves``). Filling goes by direct
calls of the functions (``direct``), and what is measured is mostly a call or a fleet as a user has it.
"""
