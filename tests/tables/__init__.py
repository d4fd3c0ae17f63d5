"""Tests of sepray.tables."""
