"""The small study of the driver's tests, on simulated trials."""

from ..driver.conftest import DATA, SIGNAL, prepared, screen, simulation, spec, stores, stores_of, tracker

__all__ = ["DATA", "SIGNAL", "prepared", "screen", "simulation", "spec", "stores", "stores_of", "tracker"]
