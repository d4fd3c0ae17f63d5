"""Mixtures cut from recordings.

``recording_folders`` finds and decodes recordings, ``splitting`` divides them among the splits, ``mixtures`` crops and
mixes them, ``two_folders`` is all of this for tasks with a folder for each of two sources.
"""
