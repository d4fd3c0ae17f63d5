"""The training loop, the view of the data that a separator may see, and random crops and remixes."""
