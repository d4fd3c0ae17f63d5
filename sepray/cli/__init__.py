"""The ``sepray`` command: separate, evaluate, compare, report, list, reconcile, doctor."""
