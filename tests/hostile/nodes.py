"""Things in a file system that are no regular files."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from .arrays import File


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may be no longer than 107 bytes
    with socket.socket(socket.AF_UNIX) as file:
        file.bind(path.name)
    os.chdir(before)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _long_loop(path: Path) -> None:
    other = path.with_name(f"other-{path.name}")
    path.symlink_to(other.name)
    other.symlink_to(path.name)


def _unreadable(path: Path) -> None:
    path.write_bytes(b"so")
    path.chmod(0)


def _folder_in_itself(path: Path) -> None:
    path.mkdir()
    (path / "again").symlink_to(path)


def nodes() -> Iterator[File]:
    """Pipes, sockets, devices, folders, loops."""
    yield "pipe", os.mkfifo
    yield "link-to-a-pipe", lambda path: (os.mkfifo(path.parent / ".pipe"), path.symlink_to(".pipe"))
    yield "socket", _socket
    yield "folder", Path.mkdir
    yield "loop", _loop
    yield "long-loop", _long_loop
    yield "folder-in-itself", _folder_in_itself
    yield "to-nothing", lambda path: path.symlink_to("nothing")
    yield "unreadable", _unreadable
    for target in ("/dev/zero", "/dev/full", "/dev/null", "/dev/random", "/proc/self/mem", "/proc/self/maps", "/"):
        yield f"link-to-{target.strip('/').replace('/', '-') or 'root'}", lambda path, to=target: path.symlink_to(to)
