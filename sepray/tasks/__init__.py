"""One file for each data set: its sources, splits, loading or synthesis. A file placed here is found by its name."""
