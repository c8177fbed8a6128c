from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.data import cache as cache_module
from kinesics.data.cache import cache_key, open_cache
from kinesics.data.decode import load_image
from kinesics.data.manifest import Manifest, read
from kinesics.errors import UserError

SIZE = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _manifest(root: Path, count: int = 9, boxes: bool = False) -> Manifest:
    rng = np.random.default_rng(0)
    lines = ["path,label" + (",box_x,box_y,box_w,box_h" if boxes else "")]
    for k in range(count):
        Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(root / f"{k}.png")
        box = (f",{k % 3},1,9,8" if k % 2 else ",,,,") if boxes else ""
        lines.append(f"{k}.png,{k % 2}{box}")
    (root / "m.csv").write_text("\n".join(lines) + "\n")
    return read(root / "m.csv")


def _expected(manifest: Manifest, channels: int, positions: np.ndarray | None = None) -> np.ndarray:
    boxes = manifest.boxes()
    rows = range(len(manifest)) if positions is None else positions
    box = [None if boxes is None or np.isnan(boxes[k]).any() else boxes[k] for k in range(len(manifest))]
    return np.stack([load_image(manifest.files()[k], SIZE, channels, box[k]) for k in rows])


@pytest.mark.parametrize("boxes", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_of_the_rows_in_a_read_only_map(
    tmp_path: Path, folder: Path, channels: int, boxes: bool
) -> None:
    manifest = _manifest(tmp_path, 150, boxes)
    found = open_cache(manifest, SIZE, channels, folder)
    assert isinstance(found.images, np.memmap) and not found.images.flags.writeable
    np.testing.assert_array_equal(found.images, _expected(manifest, channels))
    np.testing.assert_array_equal(found.kept, np.arange(150))
    assert found.bad == []


def test_a_second_time_nothing_is_decoded(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = _manifest(tmp_path)
    first = np.array(open_cache(manifest, SIZE, 1, folder).images)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache_module, "load_image", refuse)
    np.testing.assert_array_equal(open_cache(manifest, SIZE, 1, folder).images, first)
    with pytest.raises(AssertionError):
        open_cache(manifest, SIZE + 1, 1, folder)


def test_the_key_sees_files_boxes_and_options_but_not_labels(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, boxes=True)
    key = cache_key(manifest, SIZE, 1)
    assert cache_key(manifest, SIZE, 3) != key and cache_key(manifest, SIZE + 1, 1) != key
    moved = Manifest(manifest.table.assign(box_x=manifest.table["box_x"] + 1), manifest.path, manifest.classes)
    assert cache_key(moved, SIZE, 1) != key
    assert cache_key(manifest.take(np.arange(8)), SIZE, 1) != key
    relabelled = Manifest(manifest.table.assign(label="0"), manifest.path, manifest.classes)
    assert cache_key(relabelled, SIZE, 1) == key
    os.utime(tmp_path / "3.png", ns=(1, 1))
    touched = cache_key(manifest, SIZE, 1)
    assert touched != key
    (tmp_path / "3.png").unlink()
    assert cache_key(manifest, SIZE, 1) not in (key, touched)


def test_the_key_is_of_the_file_whatever_it_is_called(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    other = Manifest(manifest.table, tmp_path / "link" / "m.csv", manifest.classes)
    assert cache_key(other, SIZE, 1) == cache_key(manifest, SIZE, 1)


def _spoil(root: Path) -> None:
    (root / "1.png").write_bytes(b"")
    (root / "4.png").write_text("no picture")
    (root / "7.png").unlink()


def test_bad_images_are_an_error_with_lines_and_reasons(tmp_path: Path, folder: Path) -> None:
    manifest = _manifest(tmp_path)
    _spoil(tmp_path)
    for _ in range(2):  # the second time what is bad is known
        with pytest.raises(UserError) as caught:
            open_cache(manifest, SIZE, 1, folder)
        assert "3 of 9 images can't be read" in caught.value.message
        assert "line 3: 1.png: is empty" in caught.value.message
        assert "line 6: 4.png: is not an image" in caught.value.message
        assert "line 9: 7.png: no such file" in caught.value.message
        assert caught.value.hint is not None and "--on-bad-image skip" in caught.value.hint


def test_no_more_than_five_bad_images_are_listed(tmp_path: Path, folder: Path) -> None:
    manifest = _manifest(tmp_path)
    for k in range(7):
        (tmp_path / f"{k}.png").unlink()
    with pytest.raises(UserError) as caught:
        open_cache(manifest, SIZE, 1, folder)
    assert caught.value.message.count("no such file") == 5 and "and 2 more" in caught.value.message


def test_bad_images_can_be_skipped(tmp_path: Path, folder: Path) -> None:
    manifest = _manifest(tmp_path, boxes=True)
    _spoil(tmp_path)
    kept = np.array([0, 2, 3, 5, 6, 8])
    for _ in range(2):
        found = open_cache(manifest, SIZE, 3, folder, on_bad_image="skip")
        np.testing.assert_array_equal(found.kept, kept)
        np.testing.assert_array_equal(found.images, _expected(manifest, 3, kept))
        assert [(bad.line, bad.path) for bad in found.bad] == [(3, "1.png"), (6, "4.png"), (9, "7.png")]
    # The same files further down in another manifest: the lines are that one's.
    table = manifest.path.read_text().replace("\n", "\n\n", 1)  # type: ignore[union-attr]
    (tmp_path / "n.csv").write_text(table)
    lower = open_cache(read(tmp_path / "n.csv"), SIZE, 3, folder, on_bad_image="skip")
    assert [bad.line for bad in lower.bad] == [4, 7, 10]


def test_when_all_are_bad_skipping_is_an_error_too(tmp_path: Path, folder: Path) -> None:
    manifest = _manifest(tmp_path, 3)
    for k in range(3):
        (tmp_path / f"{k}.png").unlink()
    with pytest.raises(UserError, match="3 of 3"):
        open_cache(manifest, SIZE, 1, folder, on_bad_image="skip")


def test_mended_files_are_read(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = _manifest(tmp_path)
    whole = _expected(manifest, 1)
    state = (tmp_path / "4.png").stat()
    content = (tmp_path / "4.png").read_bytes()
    (tmp_path / "4.png").write_bytes(bytes(len(content)))
    os.utime(tmp_path / "4.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert len(open_cache(manifest, SIZE, 1, folder, on_bad_image="skip").kept) == 8
    (tmp_path / "4.png").write_bytes(content)  # the same size, and by utime the same time: the key can't tell
    os.utime(tmp_path / "4.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    np.testing.assert_array_equal(open_cache(manifest, SIZE, 1, folder).images, whole)


@pytest.mark.parametrize("damage", ["truncated", "no list", "other shape", "text", "pickle", "zero"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, folder: Path, damage: str) -> None:
    manifest = _manifest(tmp_path)
    open_cache(manifest, SIZE, 1, folder)
    path = next(folder.glob("*.npy"))
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "no list":
        path.write_bytes(content[: content.rindex(b"{")])
    elif damage == "other shape":
        np.save(path, np.zeros((3, SIZE, SIZE, 1), np.uint8))
        path.write_bytes(path.read_bytes() + b'{"bad": []}')
    elif damage == "text":
        path.write_text("nothing")
    elif damage == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(b"")
    np.testing.assert_array_equal(open_cache(manifest, SIZE, 1, folder).images, _expected(manifest, 1))


def test_a_full_disk_is_a_user_error_that_leaves_nothing(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = _manifest(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("kinesics.files.os.fsync", full)
        with pytest.raises(UserError, match="disk is full"):
            open_cache(manifest, SIZE, 1, folder)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100})())
        with pytest.raises(UserError, match="decoded images need"):
            open_cache(manifest, SIZE, 1, folder)
    np.testing.assert_array_equal(open_cache(manifest, SIZE, 1, folder).images, _expected(manifest, 1))


def test_a_cache_folder_that_can_not_be_is_a_user_error(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cache folder"):
        open_cache(manifest, SIZE, 1, tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("size", "channels", "on_bad"), [(0, 1, "error"), (9999, 1, "error"), (8, 2, "error"), (8, 1, "no")]
)
def test_values_out_of_range_are_user_errors(tmp_path: Path, size: int, channels: int, on_bad: str) -> None:
    with pytest.raises(UserError, match="must be"):
        open_cache(_manifest(tmp_path, 1), size, channels, tmp_path, on_bad)


def test_no_rows_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rows"):
        open_cache(_manifest(tmp_path, 1).rows("test"), 8, 1, tmp_path)


_BUILD = """
import sys, time
from pathlib import Path
from kinesics.data import cache, decode
from kinesics.data.manifest import read

def slow(*values):
    time.sleep(float(sys.argv[3]))
    sys.stdout.write("decoded\\n")  # in one piece, as several threads write
    sys.stdout.flush()
    return decode.load_image(*values)

cache.load_image = slow
cache._MOST_IMAGES = 4
print(cache.open_cache(read(sys.argv[1]), 12, 1, Path(sys.argv[2])).images.sum(), flush=True)
"""


def _build(manifest: Path, folder: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _BUILD, str(manifest), str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_give_one_whole_cache(tmp_path: Path, folder: Path) -> None:
    manifest = _manifest(tmp_path, 20)
    builders = [_build(tmp_path / "m.csv", folder, 0.005) for _ in range(2)]
    words = [builder.communicate(timeout=60)[0].split() for builder in builders]
    total = str(_expected(manifest, 1).sum(dtype=np.int64))
    assert [word[-1] for word in words] == [total, total]
    assert sorted(word.count("decoded") for word in words) == [0, 20]  # one built, the other waited
    assert sorted(path.suffix for path in folder.iterdir()) == [".lock", ".npy"]


def test_without_locks_both_build_and_both_are_right(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    manifest = _manifest(tmp_path, 40)
    monkeypatch.setattr(cache_module, "_lock", lambda _: contextlib.nullcontext(folder.mkdir(exist_ok=True)))
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(open_cache(manifest, SIZE, 1, folder).images)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for images in found:
        np.testing.assert_array_equal(images, _expected(manifest, 1))


def test_a_killed_build_is_never_taken_for_complete(tmp_path: Path, folder: Path) -> None:
    manifest = _manifest(tmp_path, 40)
    builder = _build(tmp_path / "m.csv", folder, 0.05)
    assert builder.stdout is not None
    for _ in range(12):
        assert builder.stdout.readline() == "decoded\n"
    builder.send_signal(signal.SIGKILL)
    builder.communicate(timeout=60)
    left = list(folder.glob(".*.tmp"))
    assert left and not list(folder.glob("*.npy"))
    np.testing.assert_array_equal(open_cache(manifest, SIZE, 1, folder).images, _expected(manifest, 1))
    assert left[0].exists()  # it may belong to a living process
    os.utime(left[0], (time.time() - 2e5,) * 2)
    open_cache(manifest, SIZE, 3, folder)
    assert not left[0].exists()
