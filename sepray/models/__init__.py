"""Use of trained models: load one, separate recordings, score it on a task, compare two."""
