"""Finds modules by name and reads what they say without importing them: sepray's, of other packages, the user's own."""
