"""Films of steering answers: arrows where they should lean, the chart's lines, the running error, files that open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.errors import UserError
from kinesics.inference.steering.answer_video import CHART, SteeringOverlay, film_steering, scale_of
from kinesics.inference.steering.drive_video import EXPERT, POLICY
from kinesics.vision.film import VideoWriter

SIZE = (320, 160)
PICTURE = (slice(130, 300), slice(0, 640))
"""Of a frame: the middle of the arrows' part of the picture."""


def near(frame: Image.Image | np.ndarray, colour: tuple[int, int, int], within: float = 60) -> np.ndarray:
    """(H, W) bool, pixels about as blue or orange as `colour`."""
    pixels, wanted = np.asarray(frame).astype(float), np.array(colour, dtype=float)
    return np.abs(pixels - wanted).max(axis=2) < within


def column(frame: Image.Image | np.ndarray, colour: tuple[int, int, int]) -> float:
    """Mean column of that colour over the picture's lower part; 320 is straight on."""
    found = np.nonzero(near(frame, colour)[PICTURE])[1]
    assert len(found) > 50
    return float(found.mean())


def overlay(predicted: list[float], target: list[float] | None = None, rate: int = 10) -> SteeringOverlay:
    return SteeringOverlay(np.array(predicted), None if target is None else np.array(target), rate, SIZE)


def test_arrows_lean_to_the_side_and_as_far_as_the_angles_say() -> None:
    draw = overlay([0.5, 0.25, -0.5], [-0.5, 0.25, -0.1])
    frames = [draw(k, Image.new("RGB", SIZE, (60, 60, 60))) for k in range(3)]
    assert frames[0].size == draw.size == (640, 320 + CHART)
    assert column(frames[0], POLICY) > 350 and column(frames[0], EXPERT) < 290
    assert 320 < column(frames[1], POLICY) < column(frames[0], POLICY)
    assert column(frames[2], POLICY) < column(frames[2], EXPERT) < 320
    # by hand: at the end of the scale (0.5) the arrow leans 65 degrees, its tip 0.74 x 0.3 x 640 pixels from (320, 312)
    right = np.nonzero(near(frames[0], POLICY)[:320])[1].max()
    assert right == pytest.approx(320 + 0.74 * 192 * np.sin(np.radians(65)), abs=6)


def test_the_truth_is_seen_without_colour_and_behind_the_answer() -> None:
    frame = overlay([0.0], [0.0])(0, Image.new("RGB", SIZE, (60, 60, 60)))
    blue, orange = (np.nonzero(near(frame, colour)[:300])[0] for colour in (POLICY, EXPERT))
    assert orange.min() < blue.min() - 20  # the longer arrow's head stands out
    straight = overlay([0.5], [-0.5])(0, Image.new("RGB", SIZE, (60, 60, 60)))
    blue, orange = (near(straight, colour)[:320] for colour in (POLICY, EXPERT))
    # along the shaft the answer's line is unbroken, the truth's is not
    angle, along = np.radians(65), np.arange(20, 110)
    rows, aside = np.round(312 - along * np.cos(angle)).astype(int), np.round(along * np.sin(angle)).astype(int)
    assert blue[rows, 320 + aside].all()
    assert 0.3 < orange[rows, 320 - aside].mean() < 0.85


def test_the_chart_fills_and_then_moves_on() -> None:
    n = 300
    draw = overlay(list(np.linspace(-1, 1, n)), [0.5] * n)
    chart = slice(320 + 30, 320 + CHART - 22)
    picture = Image.new("RGB", SIZE)

    def blue(k: int) -> tuple[np.ndarray, np.ndarray]:
        return np.nonzero(near(draw(k, picture), POLICY, 40)[chart])

    rows, columns = blue(60)
    assert 52 <= columns.min() <= 54 and columns.max() < 400  # half of the 12 seconds
    rows, columns = blue(n - 1)
    assert columns.min() <= 54 and columns.max() > 620
    assert rows[columns < 100].mean() > rows[columns > 560].mean() + 10  # rising
    orange = near(draw(n - 1, picture), EXPERT, 40)[chart]
    level = np.median(np.nonzero(orange)[0])
    assert level == pytest.approx((CHART - 52) / 2 - 0.5 * ((CHART - 52) / 2 - 4), abs=3)
    assert 0.3 < orange[:, 60:600].any(axis=0).mean() < 0.9  # dashed


def test_the_running_error() -> None:
    draw = overlay([1.0, 2.0, 3.0, 4.0], [np.nan, 0.0, 3.0, np.nan])
    np.testing.assert_allclose(draw.rmse, [np.nan, 2.0, np.sqrt(2), np.sqrt(2)])
    assert list(draw.judged) == [0, 1, 2, 2]
    picture = Image.new("RGB", SIZE)
    assert not near(draw(0, picture), EXPERT)[:320].any() and near(draw(1, picture), EXPERT)[:320].any()


def test_without_truth_there_is_no_orange() -> None:
    for target in (None, [np.nan, np.nan]):
        draw = overlay([0.1, -0.3], target)
        assert np.isnan(draw.rmse).all()
        assert not any(near(draw(k, Image.new("RGB", SIZE)), EXPERT).any() for k in range(2))


def test_scales() -> None:
    found = [scale_of(np.array([value, np.nan])) for value in (0.0, 0.1, 0.11, 0.98, 1.0, -1.03, 25.0, 26.0, np.inf)]
    assert found == [0.1, 0.1, 0.12, 1.0, 1.0, 1.2, 25.0, 30.0, 0.1]


def test_diverged_answers_are_drawn_as_far_as_they_can_be() -> None:
    draw = overlay([np.nan, 0.2], [0.1, 0.1])
    frame = draw(0, Image.new("RGB", SIZE))
    assert not near(frame, POLICY)[:320].any() and near(frame, EXPERT)[:320].any()
    assert draw.rmse[1] == pytest.approx(0.1)


def write(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    files = [folder / f"{k}.png" for k in range(len(sizes))]
    for k, (file, size) in enumerate(zip(files, sizes, strict=True)):
        Image.new("RGB", size, (40 * k, 90, 90)).save(file)
    return files


def test_a_film_opens_and_shows_the_arrows(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    files = write(tmp_path, [SIZE, (90, 200), SIZE, SIZE])
    with VideoWriter(tmp_path / "film.mp4", 5) as film:
        rmse = film_steering(film, files, np.array([0.5, -0.5, 0.5, 0.0]), np.array([-0.5, 0.5, np.nan, 0.5]))
    assert rmse == pytest.approx(np.sqrt((1 + 1 + 0.25) / 3))
    with av.open(str(tmp_path / "film.mp4")) as found:
        assert found.streams.video[0].average_rate == 5
        shown = [frame.to_ndarray(format="rgb24") for frame in found.decode(video=0)]
    assert len(shown) == 4 and {frame.shape for frame in shown} == {(320 + CHART, 640, 3)}
    assert column(shown[0], POLICY) > 340 and column(shown[0], EXPERT) < 300
    assert column(shown[1], POLICY) < 300 and column(shown[1], EXPERT) > 340
    assert not near(shown[2], EXPERT)[:300].any() and near(shown[3], EXPERT)[:300].any()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_picture_that_can_not_be_read_leaves_no_film(tmp_path: Path) -> None:
    files = write(tmp_path, [SIZE, SIZE])
    files[1].write_bytes(b"")
    with pytest.raises(UserError, match=r"1\.png"), VideoWriter(tmp_path / "film.gif") as film:
        film_steering(film, files, np.zeros(2))
    assert not list(tmp_path.glob("*film*"))


@pytest.mark.parametrize(("n", "targets", "said"), [(0, None, "0 frames"), (1, None, "2 answers"), (2, 1, "1 targets")])
def test_lengths_that_differ(tmp_path: Path, n: int, targets: int | None, said: str) -> None:
    files = write(tmp_path, [SIZE] * n)
    with pytest.raises(UserError, match=said), VideoWriter(tmp_path / "film.gif") as film:
        film_steering(film, files, np.zeros(2), None if targets is None else np.zeros(targets))
