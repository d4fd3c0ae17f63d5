"""What the terminal needs: parsing of flags, checks before a start, progress and tables."""
