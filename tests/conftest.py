"""One thread a test process, as a trial has: two workers with two threads each on two cores wait for one another."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")
