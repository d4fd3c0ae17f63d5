"""Training of one separator: the trainer, the views of the training split, and augmentation of batches."""
