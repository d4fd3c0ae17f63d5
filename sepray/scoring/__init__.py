"""Measures of separation quality, scores of separators on a split, statistics over test items, and result tables."""
