"""Workflows: jobs that depend on each other. What users need of it is in ``streamq`` itself."""
