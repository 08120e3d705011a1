"""The seeded simulation of the protocol: the real Lua functions on a real server, everything around them simulated.

One seed is one world: a queue with producers, workers, supervisors, operators and those who wait for results, in
virtual time, over a network that loses requests and replies and executes calls late. Hosts stop, go on and die, poison
jobs kill their workers, the wall clock jumps by hours, the server is killed and started again, a stale copy takes over.
The driver owns the clock and every decision comes from the seed, so a world that shows a fault shows it again.

Three parts judge: the ``Witness`` sees the true reply of every executed call, the audits read the raw keys, and
``Patience`` measures how long jobs and commands wait beside somebody who could act. At the end every job that was
accepted has ended exactly once, and nothing of it is left.

    PYTHONPATH=tests python -m simulation --seeds 300 --server valkey
    PYTHONPATH=tests python -m simulation --seeds 60 --server redis --plant all
"""
