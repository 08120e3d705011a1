"""Where the benchmarks keep what they make: programs and environments in ``.bench/``, outside of git."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CACHE", "ROOT"]

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".bench"
