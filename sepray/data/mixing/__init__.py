"""Mixtures cut from recordings.

``recording_folders`` finds the recordings, ``splitting`` divides them into splits, ``mixtures`` crops and mixes them.
"""
