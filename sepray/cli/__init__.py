"""The ``sepray`` command, with a module for each of its commands."""
