"""Files in a folder or at the URI of an object store, through one file-system layer. Imports no torch."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyarrow import fs

from ..errors import SeprayError, UnreachableError, UsageError, mask
from . import links


@dataclass(frozen=True)
class StoredFile:
    """A file below a location.

    Attributes:
        name: path of the file below the location, with slashes.
        size: number of bytes.
        modified: time of the last change, seconds since 1970; 0 if the store does not tell.
    """

    name: str
    size: int
    modified: float


def open_location(location: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URI, and the path in it.

    Raises:
        UsageError: pyarrow was built without this kind of store, as some distributions build it.
    """
    if "://" in location:
        try:
            filesystem, path = fs.FileSystem.from_uri(location)
        except NotImplementedError as error:
            raise UsageError(
                f"{mask(location)}: the pyarrow that is installed was built without such stores; pip install "
                "'sepray[cluster]' in an environment of pip's brings one that has them"
            ) from error
        return filesystem, path.rstrip("/")
    return fs.LocalFileSystem(), os.path.abspath(location)


@contextlib.contextmanager
def reachable(location: str) -> Iterator[None]:
    """Raise errors of an object store as errors that a user can put right; those of a local folder name their file.

    Raises:
        UnreachableError: the store does not answer, or refuses.
        UsageError: there is no such kind of store.
    """
    try:
        yield
    except SeprayError:
        raise
    except (OSError, ValueError) as error:
        if "://" not in location:
            raise
        kind = UnreachableError if isinstance(error, OSError) else UsageError
        raise kind(f"{mask(location)} cannot be used: {mask(str(error).splitlines()[0])}") from error


_REFUSED = re.compile(
    r"ACCESS_DENIED|403|FORBIDDEN|INVALID_ACCESS_KEY|SIGNATURE|EXPIRED_TOKEN|TOKEN_REFRESH|credentials"
)


def require_location(location: str, flag: str) -> None:
    """Refuse an object store that does not take a file, by writing a small one and deleting it; a path passes.

    Args:
        location: path or URI of a folder.
        flag: the flag that gives the location, for the message.

    Raises:
        UsageError: there is no such bucket, or no such kind of store.
        UnreachableError: the store does not answer, or refuses this user.
    """
    if "://" not in location or location.startswith("file:"):
        return
    try:
        filesystem, path = open_location(location)
        probe = f"{path}/.sepray-{secrets.token_hex(8)}"
        with filesystem.open_output_stream(probe) as stream:
            stream.write(b"sepray")
        filesystem.delete_file(probe)
    except SeprayError:
        raise
    except (OSError, ValueError) as error:
        told, shown = str(error), mask(location)
        bucket = location.partition("://")[2].partition("/")[0]
        if "NO_SUCH_BUCKET" in told or "does not exist" in told:
            raise UsageError(
                f"{shown}: there is no bucket {mask(bucket)}; create it, or give another {flag}"
            ) from error
        if _REFUSED.search(told):
            raise UnreachableError(
                f"{shown} refuses this user: set AWS_SHARED_CREDENTIALS_FILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, to keys that may write there (and AWS_ENDPOINT_URL, if it is not Amazon's)"
            ) from error
        kind = UnreachableError if isinstance(error, OSError) else UsageError
        raise kind(
            f"{shown} cannot be used: {mask(told.splitlines()[0])}; check {flag} and AWS_ENDPOINT_URL"
        ) from error


def files(location: str) -> list[StoredFile]:
    """Return all files below a path or URI, in the order of their names; none if it does not exist.

    Links in a folder are neither followed nor returned.

    Raises:
        SeprayError: the object store cannot be used.
    """
    with reachable(location):
        filesystem, path = open_location(location)
        if isinstance(filesystem, fs.LocalFileSystem):
            return sorted(_local_files(Path(path)), key=lambda file: file.name)
        found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    inner = [(info.path.removeprefix(path).lstrip("/"), info) for info in found if info.type is fs.FileType.File]
    return sorted(
        (StoredFile(name, int(info.size or 0), (info.mtime_ns or 0) / 1e9) for name, info in inner),
        key=lambda file: file.name,
    )


def folders(location: str) -> list[str]:
    """Return the names of the folders in a path or URI, sorted; none if it does not exist. Links are left out.

    Raises:
        SeprayError: the object store cannot be used.
    """
    with reachable(location):
        filesystem, path = open_location(location)
        found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    names = [info.base_name for info in found if info.type is fs.FileType.Directory]
    if isinstance(filesystem, fs.LocalFileSystem):
        names = [name for name in names if not Path(path, name).is_symlink()]
    return sorted(names)


def remove(location: str, top: str = "") -> None:
    """Delete a file, or a folder with all that is in it, if it is there; the targets of links stay.

    Args:
        location: path or URI.
        top: path or URI of a folder above it. On a local disk no link below that folder is followed. Empty: the folder
            that holds ``location``.

    Raises:
        OSError: a local file cannot be deleted.
        SeprayError: the object store cannot be used, or a folder below ``top`` is a link.
    """
    with reachable(location):
        filesystem, path = open_location(location)
        if isinstance(filesystem, fs.LocalFileSystem):
            links.remove(Path(path), Path(open_location(top)[1]) if top else Path(path).parent)
            return
        kind = filesystem.get_file_info(path).type
        if kind is fs.FileType.NotFound:
            return
        if kind is fs.FileType.Directory:
            filesystem.delete_dir(path)
        else:
            filesystem.delete_file(path)


def _local_files(folder: Path) -> Iterator[StoredFile]:
    for path in links.files_below(folder):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            found = path.lstat()
            yield StoredFile(path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns / 1e9)
