"""Two machines with clocks and processes of the test's own, on which drivers take leases of studies."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field

import grpc
import optuna
import pytest
from optuna.storages import GrpcStorageProxy, InMemoryStorage
from optuna.storages._grpc import servicer
from optuna.storages._grpc.auto_generated import api_pb2_grpc

from sepray.search import lease as lease_module
from sepray.search.lease import take
from sepray.search.owner import Surroundings
from sepray.search.storage import connect


@dataclass
class World:
    """Two machines whose clocks differ, the processes that run on them, and the drivers that were started."""

    alive: dict[int, str] = field(default_factory=lambda: {number: f"start {number}" for number in range(1, 9)})
    passed: float = 0.0
    meanwhile: Callable[[], None] = lambda: None
    taken: list[lease_module.Lease] = field(default_factory=list)

    def process(self, number: int, host: str = "host-a", ahead: float = 0.0) -> Surroundings:
        """Return a process of a host whose clock is some seconds ahead."""
        return Surroundings(
            user="alice" if host == "host-a" else "bob",
            host=host,
            machine=host,
            process=number,
            started=f"start {number}",
            start_of=lambda process: self.alive.get(process, ""),
            now=lambda: 1_800_000_000 + self.passed + ahead,
            monotonic=lambda: self.passed,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        self.passed += seconds
        self.meanwhile()

    def take(self, storage, name="small", process=1, host="host-a", ahead=0.0, **settings) -> lease_module.Lease:
        self.taken.append(take(storage, name, here=self.process(process, host, ahead), **settings))
        return self.taken[-1]


@pytest.fixture
def world():
    world = World()
    yield world
    for lease in world.taken:
        lease._ending.set()


@pytest.fixture(params=["sqlite", "journal", "memory", "grpc"])
def connection(request, tmp_path, url):
    """Return a function that opens the storage anew, as each process does; in memory there is only one."""
    if request.param == "sqlite":
        yield lambda: connect(url)
    elif request.param == "journal":
        yield lambda: connect(f"journal://{tmp_path}/journal.log")
    else:
        memory = InMemoryStorage()
        if request.param == "memory":
            yield lambda: memory
            return
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        api_pb2_grpc.add_StorageServiceServicer_to_server(servicer.OptunaStorageProxyService(memory), server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield lambda: GrpcStorageProxy(host="localhost", port=port)
        server.stop(None)


def names(storage) -> list[str]:
    """Return the names of all studies of a storage."""
    return [study.study_name for study in storage.get_all_studies()]
