"""The ``sepray`` command: clean, compare, delete, doctor, evaluate, explain, list, reconcile, report, reproduce, run,
separate, show.
"""
