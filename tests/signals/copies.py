"""Parts that tests of recordings share: a tone, reading it whole, and writing a copy in uneven blocks."""

import numpy as np

TONE = (0.5 * np.sin(np.arange(1000) / 7)).astype(np.float32)


def read(recording):
    return np.concatenate(list(recording.blocks()), axis=1)


def copy(recording, path, factor=1.0, size=333):
    """Write ``factor`` times a recording, in blocks of another size than it is read in."""
    whole = factor * read(recording)
    with recording.writer(path) as writer:
        for start in range(0, recording.frames, size):
            writer.write(whole[:, start : start + size])
        return writer.clipped
