"""The simulation of lanes and limits: random calls over virtual time on a real server, audited from outside.

What is handed out, settled, killed and lost is followed by a model that knows buckets, slots and order from the calls alone;
each take is held against it. The long form: ``PYTHONPATH=tests python -m lanes --seeds 200 --server valkey [--plant all]``.
"""
