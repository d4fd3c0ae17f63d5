"""Measures of separation quality, and the statistics over test items."""
