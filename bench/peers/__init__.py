"""Other queues, measured in the same run: one file for each, which runs in an environment of its own.

A file begins with a block of TOML that says what it needs and with which settings it runs (``description``); the suite
reads the block, makes the environment (``environments``), and starts the file there: as a producer (``driver``), and by
the peer's own command as a worker. Handlers count what they ran in their own process (``tally``), and tell the suite
through a socket a hundred times a second (``listening``), so that counting costs every peer the same.
"""
