"""Following boxes: the filter against linear algebra written out, the assignment against all assignments, behaviour."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from kinesics.errors import UserError
from kinesics.vision.faces import overlaps
from kinesics.vision.tracking import _MEASURED, _POSITION, _VELOCITY, Kalman, SceneCuts, Tracker, TrackingConfig


def test_the_filter_equals_the_textbooks_least_squares() -> None:
    """After k noisy measurements the filter's mean is the most likely of all states, solved at once."""
    rng = np.random.default_rng(0)
    boxes = [np.array([10 + 3 * k, 20 - k, 40, 50]) + rng.normal(0, 1, 4) for k in range(6)]
    filtered = Kalman(boxes[0])
    first, spread = filtered.mean.copy(), np.sqrt(np.diag(filtered.covariance))
    motion = np.eye(8) + np.eye(8, k=4)
    rows, right = [np.hstack([np.eye(8), np.zeros((8, 40))]) / spread[:, None]], [first / spread]
    for k in range(1, 6):
        height = max(filtered.mean[3], 1.0)
        noise = np.repeat([_POSITION, _VELOCITY], 4) * height
        step = np.zeros((8, 48))
        step[:, 8 * (k - 1) : 8 * k], step[:, 8 * k : 8 * k + 8] = -motion, np.eye(8)
        rows, right = [*rows, step / noise[:, None]], [*right, np.zeros(8)]
        filtered.predict()
        seen = np.zeros((4, 48))
        seen[:, 8 * k : 8 * k + 4] = np.eye(4)
        error = _MEASURED * filtered.mean[3]
        x, y, w, h = boxes[k]
        rows, right = [*rows, seen / error], [*right, np.array([x + w / 2, y + h / 2, w, h]) / error]
        filtered.update(boxes[k])
    together = np.linalg.lstsq(np.vstack(rows), np.concatenate(right), rcond=None)[0]
    assert filtered.mean == pytest.approx(together[-8:], rel=1e-6)
    assert filtered.mean[4:6] == pytest.approx([3, -1], abs=1.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_assignment_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = np.column_stack([rng.uniform(0, 60, (5, 2)), rng.uniform(25, 50, (5, 2))])
    after = before[rng.permutation(5)[:4]] + rng.normal(0, 6, (4, 4))
    tracker = Tracker(TrackingConfig(overlap=0.2))
    tracker.detected(before, np.ones(5))
    expected = [track.box for track in tracker.moved()]
    wide = [np.array([(x - w / 4, y - h / 4, 1.5 * w, 1.5 * h) for x, y, w, h in boxes]) for boxes in (expected, after)]
    share = overlaps(*wide)
    share = np.where(share >= 0.2, share, 0)
    best = max(sum(share[i, j] for j, i in enumerate(order)) for order in permutations(range(5), 4))
    pairs, _, _ = tracker._matched(tracker._tracks, after, np.arange(4))
    assert sum(share[track.number - 1, j] for track, j in pairs) == pytest.approx(best)


def test_numbers_stay_when_two_pass_each_other() -> None:
    tracker, seen = Tracker(), []
    for k in range(0, 60, 5):
        boxes = np.array([[10 + 4 * k, 50, 40, 40], [250 - 4 * k, 75, 40, 40]], dtype=float)
        order = [1, 0] if k % 10 else [0, 1]  # detectors have no order
        shown = tracker.detected(boxes[order], [1.0, 1.0], frames=5)
        seen.append({track.number: track.box[0] for track in shown})
    assert all(sorted(one) == [1, 2] for one in seen)
    assert seen[-1][1] == pytest.approx(10 + 4 * 55, abs=8) and seen[-1][2] == pytest.approx(250 - 4 * 55, abs=8)


def test_frames_in_between_go_on_as_before() -> None:
    tracker = Tracker()
    for k in range(0, 25, 5):
        tracker.detected(np.array([[100.0 + 2 * k, 50, 40, 40]]), [1.0], frames=5 if k else 1)
    (track,) = tracker.moved(2)
    assert track.box[0] == pytest.approx(100 + 2 * 22, abs=2)


def test_unsure_boxes_continue_tracks_and_start_none() -> None:
    tracker = Tracker(TrackingConfig(high=0.5))
    assert tracker.detected(np.array([[0.0, 0, 20, 20]]), [0.2]) == []
    (track,) = tracker.detected(np.array([[0.0, 0, 20, 20]]), [0.9])
    shown = tracker.detected(np.array([[1.0, 1, 20, 20], [80, 80, 20, 20]]), [0.1, 0.2])
    assert [one.number for one in shown] == [track.number] and shown[0].missed == 0


def test_lost_tracks_coast_then_hide_then_come_back_or_end() -> None:
    tracker = Tracker(TrackingConfig(max_age=20, coast=1))
    box, none = np.array([[10.0, 10, 30, 30]]), np.zeros((0, 4))
    tracker.detected(box, [1.0])
    assert len(tracker.detected(none, [], 5)) == 1  # one miss: still shown
    assert tracker.detected(none, [], 5) == []
    assert [track.number for track in tracker.detected(box, [1.0], 5)] == [1]
    tracker.detected(none, [], 15)
    tracker.detected(none, [], 15)
    assert [track.number for track in tracker.detected(box, [1.0], 5)] == [2]
    tracker.cut()
    assert [track.number for track in tracker.detected(box, [1.0], 5)] == [3]
    with pytest.raises(UserError, match="tracking: got overlap 2"):
        TrackingConfig(overlap=2)


def test_scene_cuts() -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (90, 160, 3)).astype(np.float64) * [1.0, 0.4, 0.2]
    other = rng.integers(0, 256, (90, 160, 3)).astype(np.float64) * [0.2, 0.4, 1.0]
    moved, brighter = np.roll(scene, 25, axis=1), np.clip(scene * 1.08, 0, 255)
    cuts = SceneCuts()
    found = [cuts(frame.astype(np.uint8)) for frame in (scene, moved, brighter, other, other, scene)]
    assert found == [False, False, False, True, False, True]
