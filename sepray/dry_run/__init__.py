"""Estimates what a study would run, and the time, memory and disk that it would take: ``--dry-run``."""
