"""Files are written whole or not at all, and places where that cannot be are refused before."""

import os

import pytest
from safetensors import SafetensorError

from buttress.runtime import atomic_write as files


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    def full(path, content):
        path.write_bytes(content[:1])
        raise OSError(28, "No space left on device")

    files.write_text(tmp_path / "page.html", "before")
    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(OSError, match="No space left on device") as refused:
        files.write_text(tmp_path / "page.html", "after")
    assert refused.value.filename == str(tmp_path / "page.html")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("page.html", "before")]


def test_a_full_disk_is_one_however_safetensors_tells_of_it(tmp_path):
    def full(path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(OSError) as refused:  # noqa: PT011
        files.replace_file(tmp_path / "weights", full)
    assert refused.value.errno == 28 and not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_stays_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files.write_text(tmp_path / "pipe", "so")
    assert os.read(reader, 9) == b"so" and (tmp_path / "pipe").is_fifo()
    os.close(reader)


@pytest.mark.parametrize("name", ["a\0b", "caf\udce9", "n" * 250])
def test_a_name_that_cannot_be_written_is_refused_before(name, tmp_path):
    with pytest.raises((ValueError, OSError), match=r"NUL|not UTF-8|too long"):
        files.check_place(tmp_path / name)
    files.check_place(tmp_path / "page.html")
    assert not list(tmp_path.iterdir())
