"""Campaigns against real processes: what is killed, what must hold. ``python -m chaos --help`` runs the long forms."""
