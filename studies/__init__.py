"""The studies that come with sepray: one file for each; ``python studies/NAME.py`` or ``sepray run NAME``."""
