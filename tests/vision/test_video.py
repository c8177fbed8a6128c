"""Videos: made frame by frame with known colours, read back in part, turned, damaged, resized, with sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.errors import UserError
from kinesics.vision.camera import read_camera
from kinesics.vision.film import VideoWriter
from kinesics.vision.video import is_video, probe, read_video

av = pytest.importorskip("av")


def level(k: int) -> int:
    return 20 + 4 * k


def make(path: Path, frames: int = 50, rate: int = 10, sound: bool = False) -> Path:
    """A film whose frame k is grey of `level(k)`, with a tone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"g": "10"}
        tone = container.add_stream("aac", rate=16_000) if sound else None
        for k in range(frames):
            image = np.full((48, 64, 3), level(k), dtype=np.uint8)
            image[:8, :8] = 255  # the upper left corner
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
        if tone is not None:
            wave = (8000 * np.sin(np.arange(frames * 16_000 // rate) * 0.2)).astype(np.int16)
            for start in range(0, len(wave), 1024):
                part = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="s16", layout="mono")
                part.sample_rate, part.pts, part.time_base = 16_000, start, Fraction(1, 16_000)
                container.mux(tone.encode(part))
            container.mux(tone.encode())
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("film") / "film.mp4", sound=True)


def test_every_frame(film: Path) -> None:
    frames = list(read_video(film))
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.time for frame in frames] == pytest.approx([k / 10 for k in range(50)])
    assert [frame.image[30, 40].mean() for frame in frames] == pytest.approx([level(k) for k in range(50)], abs=4)
    info = probe(film)
    assert (info.width, info.height, info.rate, info.frames, info.sound) == (64, 48, 10, 50, True)
    assert info.duration == pytest.approx(5, abs=0.2) and is_video(film)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"every": 7}, list(range(0, 50, 7))),
        ({"start": 3.2}, list(range(32, 50))),
        ({"start": 1.0, "end": 1.5}, [10, 11, 12, 13, 14]),
        ({"end": 0.3}, [0, 1, 2]),
        ({"fps": 5.0}, list(range(0, 50, 2))),
        ({"fps": 4.0, "end": 1.0}, [0, 3, 5, 8]),
        ({"fps": 100.0, "end": 0.5}, [0, 1, 2, 3, 4]),
        ({"start": 4.0, "every": 4}, [40, 44, 48]),
    ],
)
def test_parts(film: Path, options: dict[str, float], expected: list[int]) -> None:
    frames = list(read_video(film, **options))  # type: ignore[arg-type]
    assert [frame.index for frame in frames] == expected
    assert [frame.image[30, 40].mean() for frame in frames] == pytest.approx([level(k) for k in expected], abs=4)


def test_values_out_of_range(film: Path) -> None:
    for options in ({"every": 0}, {"fps": 0.0}, {"start": -1.0}, {"start": 2.0, "end": 1.0}):
        with pytest.raises(UserError, match="expected 0 <= start < end"):
            read_video(film, **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no frame can be read from second 60 on"):
        list(read_video(film, start=60))


def test_a_turned_video(film: Path, tmp_path: Path) -> None:
    """A phone held upright writes sideways frames and a display matrix that says so."""
    turned = tmp_path / "turned.mov"
    plain = film.read_bytes()
    # the track header's matrix for 90 degrees: (0 1 0, -1 0 0) in 16.16 fixed point
    one, minus, two = (
        (1 << 16).to_bytes(4, "big"),
        (-(1 << 16)).to_bytes(4, "big", signed=True),
        (1 << 30).to_bytes(4, "big"),
    )
    zero = bytes(4)
    upright = one + 3 * zero + one + 3 * zero + two
    place = plain.index(upright, plain.index(b"tkhd"))
    turned.write_bytes(plain[:place] + zero + one + zero + minus + 4 * zero + two + plain[place + 36 :])
    frame = next(iter(read_video(turned)))
    # turned by 90 degrees clockwise for display: the bright corner moves to the upper right
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[2, -3].mean() > 200 and frame.image[2, 2].mean() < 60


def test_frames_of_changing_size(tmp_path: Path) -> None:
    """MPEG transport streams of two sizes, one after the other."""
    parts = []
    for k, size in enumerate(((64, 48), (96, 80))):
        part = tmp_path / f"{k}.ts"
        with av.open(str(part), "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for _ in range(10):
                image = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        parts.append(part.read_bytes())
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    shapes = [frame.image.shape for frame in read_video(tmp_path / "both.ts")]
    assert shapes.count((48, 64, 3)) >= 9 and shapes.count((80, 96, 3)) >= 9


def test_files_that_are_no_videos(film: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:5,\n{film}\n#EXT-X-ENDLIST\n")  # would open another file
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        tone = container.add_stream("aac", rate=16_000)
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        part.sample_rate = 16_000
        container.mux(tone.encode(part))
        container.mux(tone.encode())
    with av.open(str(tmp_path / "frameless.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    for name in ("text", "empty", "list", "sound", "frameless", "missing"):
        with pytest.raises(UserError, match=f"{name}.mp4"):
            list(read_video(tmp_path / f"{name}.mp4"))


def test_a_damaged_end_is_left_out(film: Path, tmp_path: Path) -> None:
    frames = list(read_video(make(tmp_path / "a.mkv")))
    (tmp_path / "cut.mkv").write_bytes((tmp_path / "a.mkv").read_bytes()[: (tmp_path / "a.mkv").stat().st_size // 2])
    assert 0 < len(list(read_video(tmp_path / "cut.mkv"))) < len(frames)


def test_an_animation_is_a_video(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (32, 24), (k * 60, 0, 0)) for k in range(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=250, lossless=True)
    pictures[0].save(tmp_path / "still.webp", lossless=True)
    assert is_video(tmp_path / "a.webp") and not is_video(tmp_path / "still.webp")
    assert [(frame.index, frame.time) for frame in read_video(tmp_path / "a.webp", start=0.5)] == [(2, 0.5), (3, 0.75)]
    assert probe(tmp_path / "a.webp").frames == 4


def test_sound_goes_along(film: Path, tmp_path: Path) -> None:
    for start in (0.0, 2.0):
        with VideoWriter(tmp_path / "out.mp4", 10, sound=film, start=start) as writer:
            for frame in read_video(film, start, start + 2):
                writer.add(Image.fromarray(frame.image), frame.time - start)
        with av.open(str(tmp_path / "out.mp4")) as found:
            tone = found.streams.audio[0]
            assert tone.codec_context.name == "aac"
            assert float(tone.duration * tone.time_base) == pytest.approx(2, abs=0.15)
            times = [frame.time for frame in found.decode(video=0)]
        assert times == pytest.approx([k / 10 for k in range(20)], abs=0.01)


def test_sound_that_mp4_can_not_hold_is_encoded_anew(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream, tone = container.add_stream("mpeg4", rate=10), container.add_stream("pcm_s16le", rate=16_000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(20):
            image = np.full((48, 64, 3), level(k), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            part = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = 16_000, 1600 * k, Fraction(1, 16_000)
            container.mux(tone.encode(part))
        container.mux(stream.encode())
        container.mux(tone.encode())
    with VideoWriter(tmp_path / "out.mp4", 10, sound=tmp_path / "a.avi") as writer:
        for frame in read_video(tmp_path / "a.avi"):
            writer.add(Image.fromarray(frame.image), frame.time)
    with av.open(str(tmp_path / "out.mp4")) as found:
        tone = found.streams.audio[0]
        assert tone.codec_context.name == "aac" and float(tone.duration * tone.time_base) == pytest.approx(2, abs=0.2)


def test_an_interrupted_film_is_kept_where_that_is_wanted(tmp_path: Path) -> None:
    for keep in (True, False):
        file = tmp_path / f"{keep}.mp4"
        with pytest.raises(KeyboardInterrupt), VideoWriter(file, keep=keep) as writer:
            writer.add(Image.new("RGB", (64, 48)))
            raise KeyboardInterrupt
        assert file.exists() == keep
    assert [path.name for path in tmp_path.iterdir()] == ["True.mp4"]


def test_a_file_in_the_place_of_a_camera(film: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    frames = list(read_camera(str(film), end=2.0, every=2))
    assert [frame.index for frame in frames] == list(range(0, 20, 2))
    assert frames[3].image[30, 40].mean() == pytest.approx(level(6), abs=4)
    with pytest.raises(UserError, match="no frame comes from there"):
        list(read_camera(str(tmp_path / "none.mp4")))
