"""Writing files so that a crash at any moment leaves the old content or the new, never half of it."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from kinesics.errors import UserError


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`; on success flush, fsync and rename it over `path`.

    Args:
        path: the file to replace; its folder is created when missing.
        mode: "wb" or "w" (UTF-8 text).

    Raises:
        UserError: the disk is full, the folder can't be made or written to, or `path` is a folder; the old file is
            intact.
    """
    target = Path(path)
    make_folder(target.parent)
    if target.is_dir():
        raise UserError(f"can't write {target}: it is a folder", hint="name a file")
    temporary = None
    try:
        handle, temporary = _temporary_beside(target)
        os.fchmod(handle, 0o666 & ~_umask())
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"the disk is full: could not write {target}",
                hint="free some space and start again with --resume; what was written before is intact",
            ) from error
        if isinstance(error, PermissionError | FileExistsError | NotADirectoryError):
            raise UserError(f"can't write {target}: {error.strerror}", hint="choose another folder") from error
        raise
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep others, in this process or another, from changing a file between reading and writing it.

    It holds among those who ask for it alone. The lock is a hidden file beside `path`, as `path` itself is replaced.

    Raises:
        UserError: the folder can't be written to.
    """
    import fcntl  # POSIX

    target = Path(path)
    make_folder(target.parent)
    try:
        handle = os.open(target.with_name(f".{target.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"can't write {target}: {error.strerror}", hint="choose another folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder that results are written to, and those above it.

    Raises:
        UserError: it can't be made, or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't make the folder {folder}: {error.strerror}", hint="choose another folder") from error


def _temporary_beside(target: Path) -> tuple[int, str]:
    """Handle and name of a new file in the folder of `target`."""
    try:
        return tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f"can't write {target}: {error.strerror}", hint="choose another folder") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable (POSIX); other systems have no handle for a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where derived data may be kept: `$KINESICS_CACHE`, else `$XDG_CACHE_HOME/kinesics`, else `~/.cache/kinesics`."""
    if own := os.environ.get("KINESICS_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kinesics"


def load_yaml(text: str) -> Any:
    """What a YAML text says, by the safe loader; a name that stands twice in one place is an error, not the later one.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: a name stands twice.
    """
    import yaml

    class Once(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            lines: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                name, line = (key.tag, str(key.value)), key.start_mark.line + 1
                if isinstance(key, yaml.ScalarNode) and name in lines:
                    raise ValueError(f"{key.value} stands twice, in lines {lines[name]} and {line}; keep one")
                lines[name] = line
            return super().construct_mapping(node, deep)

    loader = Once(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()
