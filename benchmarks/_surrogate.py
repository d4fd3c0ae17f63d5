"""Learning curves of any settings of a recorded search space, for ``search.py``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution
from scipy.stats import qmc
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

GOOD = 0.01
"""Share of the space whose settings are good."""


class Surrogate:
    """Curves of any settings of a recorded search space.

    Attributes:
        space: distributions by name.
        epochs: epochs of a full training.
        least: least final value of the curves without noise.
        good: final value that a hundredth of the space is below.
        references: published settings by label.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.space = {name: FloatDistribution(**limits) for name, limits in table["space"].items()}
        self.epochs = int(table["epochs"])
        trainings = [t for t in table["trainings"] if len(t["curve"]) == self.epochs]
        self.references = {t["label"]: t["params"] for t in trainings if t["label"]}
        curves: dict[tuple[float, ...], list[np.ndarray]] = {}
        for training in trainings:
            point = tuple(self._coordinates(training["params"]))
            curves.setdefault(point, []).append(np.log(training["curve"]))
        self._points = np.array(list(curves))
        means = np.array([np.mean(each, axis=0) for each in curves.values()])
        self._mean = means.mean(axis=0)
        kernel = ConstantKernel() * Matern(np.ones(len(self.space)), (0.1, 100.0), nu=2.5) + WhiteKernel(1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            process = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=3, random_state=0)
            self._kernel = process.fit(self._points, means[:, -1]).kernel_
        self._weights = np.linalg.solve(self._kernel(self._points), means - self._mean)
        spread = [np.array(each) - np.mean(each, axis=0) for each in curves.values() if len(each) > 1]
        freedom = sum(len(each) - 1 for each in spread)
        self._covariance = sum(each.T @ each for each in spread) / freedom
        grid = qmc.Sobol(len(self.space), seed=0).random(2**14)
        ends = np.exp(self._at(grid)[:, -1])
        self.least, self.good = float(ends.min()), float(np.quantile(ends, GOOD))

    def _coordinates(self, settings: Mapping[str, float]) -> list[float]:
        """Return settings as a point of the unit cube."""
        found = []
        for name, d in self.space.items():
            value, low, high = settings[name], d.low, d.high
            if d.log:
                value, low, high = np.log(value), np.log(low), np.log(high)
            found.append(float((value - low) / (high - low)))
        return found

    def _at(self, points: np.ndarray) -> np.ndarray:
        """Return the logarithmic curves at points, ``[point, epoch]``."""
        noiseless = self._kernel.k1
        curves: np.ndarray = noiseless(points, self._points) @ self._weights + self._mean
        return curves

    def curve(self, settings: Mapping[str, float]) -> np.ndarray:
        """Return the curve of settings without noise, ``[epoch]``."""
        return np.exp(self._at(np.array([self._coordinates(settings)]))[0])

    def noise(self, random: np.random.Generator) -> np.ndarray:
        """Return the factors, ``[epoch]``, by which one seed's curve differs from that without noise."""
        return np.exp(random.multivariate_normal(np.zeros(self.epochs), self._covariance))
