"""Ray: where trials run, how one trial trains, and its checkpoints."""
