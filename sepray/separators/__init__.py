"""One file a method: its networks, losses and phases. A file placed here is found by its name."""
