"""What the documentation site is made of, beside its pages: the blocks that are drawn when it is built."""
