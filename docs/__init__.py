"""Blocks of the documentation site that are drawn when it is built, beside its pages."""
