"""What tasks are made from: the cache of generated data, instruments, heart records, images, mixing of recordings."""
