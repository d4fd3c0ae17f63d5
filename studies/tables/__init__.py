"""Tables of papers with ours beside them, one file each: ``python studies/tables/NAME.py``, ``--budget full``."""
