"""What a study would run and take: ``--dry-run``."""
