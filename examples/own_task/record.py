"""Writes ten small recordings of a heart and a motor, so that the example runs without any data of your own."""

from pathlib import Path

import numpy as np

folder = Path("recordings")
folder.mkdir(exist_ok=True)
for number in range(10):
    random = np.random.default_rng(number)
    seconds = np.arange(1000) / 100
    beats = np.exp(-20 * np.square((seconds * random.uniform(1.0, 1.4) + random.uniform()) % 1 - 0.5) * 10)
    motor = 0.5 * np.sin(2 * np.pi * (random.uniform(15, 20) * seconds + random.uniform()))
    columns = np.stack((beats, motor), axis=1)
    np.savetxt(folder / f"{number}.csv", columns, delimiter=",", header="heart,motor", comments="", fmt="%.5f")
