"""``python -m streamq.cli`` is ``streamq``."""

from __future__ import annotations

from streamq.cli.entry import main

main()
