"""Finds modules by name and reads their sources without importing them: sepray's, other packages', the user's own."""
