"""Optuna's gRPC proxy as a storage: one process has the database, hundreds of drivers have its address alone."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

PORT = 13000
"""Port of ``optuna.storages.run_grpc_proxy_server`` where none is given."""
_READY_SECONDS = 10.0


def open_proxy(url: str) -> BaseStorage:
    """Return the storage behind the proxy at ``grpc://host:port``.

    Its methods raise what gRPC raises as ``StorageInternalError``, which is tried again as that of a database is.

    Raises:
        ImportError: grpcio is not installed.
        ValueError: the address has an impossible host or port, or more than these.
        OSError: no proxy answers there.
    """
    import grpc

    parts = urlsplit(url)
    port = parts.port or PORT  # ValueError: out of range
    if not parts.hostname or parts.username or parts.path.strip("/") or parts.query:
        raise ValueError("a proxy's address is grpc://HOST:PORT and has no user, password or database")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.GrpcStorageProxy(host=parts.hostname, port=port)
    try:
        storage.wait_server_ready(timeout=_READY_SECONDS)
    except ConnectionError:
        raise OSError(
            f"no proxy answers at {parts.hostname}:{port}; `optuna.storages.run_grpc_proxy_server` starts one"
        ) from None
    for name in sorted(BaseStorage.__abstractmethods__ | {"get_trial_id_from_study_id_trial_number"}):
        setattr(storage, name, _with_storage_errors(getattr(storage, name), grpc.RpcError))
    return storage


def _with_storage_errors(method: Callable[..., Any], kind: type[Exception]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except kind as error:
            raise StorageInternalError(_reason(error)) from None

    return call


def _reason(error: Any) -> str:
    """Return gRPC's message of an error, in one line."""
    code, details = error.code(), " ".join(str(error.details() or "").split())
    return (
        f"the proxy answers {code.name}: {details}" if code.name != "UNAVAILABLE" else f"the proxy is gone: {details}"
    )
