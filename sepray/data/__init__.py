"""Material of tasks: the cache of generated data, instruments, heart records, images, mixing of recordings."""
