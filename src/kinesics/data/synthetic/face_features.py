"""The features of a drawn face: wrinkles and bulges, mouth, nose, eyes, brows, glasses.

Each function paints on a `Canvas` in coordinates on the face (`Front`); lengths come from `Geometry`,
lifted to (B, 1, 1), and the action units `units` set how deep the wrinkles are.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from kinesics.data.synthetic.face_geometry import Person
from kinesics.data.synthetic.rasterize import Canvas, Length, box, coverage, ellipse, soft

FAR = np.float32(9.0)
"""Where the coordinates are put of pixels that don't see the front of the head: far from every feature."""

_SKIN = np.array([[0.96, 0.82, 0.72], [0.90, 0.70, 0.56], [0.74, 0.53, 0.39], [0.52, 0.35, 0.25], [0.40, 0.27, 0.20]])
_HAIR = np.array([[0.06, 0.05, 0.05], [0.20, 0.13, 0.09], [0.36, 0.23, 0.13], [0.72, 0.56, 0.33], [0.80, 0.79, 0.77]])
_IRIS = np.array([[0.16, 0.10, 0.06], [0.35, 0.26, 0.15], [0.36, 0.46, 0.50]])
_SCLERA = np.array([0.93, 0.92, 0.90])
_TEETH = np.array([0.93, 0.91, 0.86])
_INSIDE = np.array([0.16, 0.05, 0.05])
_BLACK = np.array([0.05, 0.04, 0.04])


class Tones:
    """The colours of each person, (B, 3) in [0, 1]."""

    def __init__(self, person: Person) -> None:
        self.skin = _between(_SKIN, person.skin)
        self.hair = _between(_HAIR, person.hair)
        self.brow = np.minimum(0.75 * self.hair + 0.02, 0.45 * self.skin)
        self.iris = _between(_IRIS, person.iris)
        self.lips = self.skin * np.array([0.82, 0.60, 0.60])


def _between(colours: np.ndarray, tone: np.ndarray) -> np.ndarray:
    place = np.clip(np.asarray(tone, dtype=np.float64), 0.0, 1.0) * (len(colours) - 1)
    low = np.minimum(place.astype(np.int64), len(colours) - 2)
    share = (place - low)[:, None]
    return (1.0 - share) * colours[low] + share * colours[low + 1]


@dataclass(frozen=True)
class Front:
    """Coordinates on the face, turned to the front.

    `x` (B, H, W) distance from the middle of the face (both halves are drawn at once), `y` height, head
    units, both `FAR` where a pixel does not see the front of the head; `left` (B, H, W) bool, the half on
    the left of the image; `pixel` (B, 1, 1) size of a pixel in head units.
    """

    x: np.ndarray
    y: np.ndarray
    left: np.ndarray
    pixel: np.ndarray

    def crop(self, canvas: Canvas, low: Length, high: Length) -> tuple[Canvas, Front]:
        """The smallest window of the pictures that holds all pixels with `low` < y < `high`; nothing is
        copied."""
        inside = (self.y > low) & (self.y < high)
        rows = _span(np.any(inside, axis=(0, 2)))
        columns = _span(np.any(inside, axis=(0, 1)))
        x, y, left = (a[:, rows, columns] for a in (self.x, self.y, self.left))
        return canvas.crop(rows, columns), Front(x, y, left, self.pixel)


def _span(used: np.ndarray) -> slice:
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 1)


def draw_features(
    canvas: Canvas,
    front: Front,
    face: SimpleNamespace,
    units: SimpleNamespace,
    who: SimpleNamespace,
    camera: SimpleNamespace,
    tones: Tones,
) -> None:
    """Paint all of the face but glasses; each group only in the window that it can reach."""
    lower = front.crop(canvas, face.nose_tip_y - 0.15, FAR)
    _mouth_relief(*lower, face, units)
    _beard(*lower, face, who, tones)
    _mouth(*lower, face, units, tones)
    upper = front.crop(canvas, -FAR, face.eye_y + 0.5)
    _eye_relief(*upper, face, units, who)
    _eyes(*upper, face, camera, tones)
    _brows(*upper, face, tones)
    _nose(*front.crop(canvas, face.eye_y - 0.15, face.nose_tip_y + 0.15), face, units)


def _eye_relief(
    canvas: Canvas, front: Front, face: SimpleNamespace, units: SimpleNamespace, who: SimpleNamespace
) -> None:
    """Sockets, cheeks, the wrinkles of eyes and forehead: soft darker and lighter places."""
    x, y = front.x, front.y
    age = 0.5 + 0.5 * who.age
    side = x - face.eye_x
    dark = 0.16 * soft((side / 0.26) ** 2 + ((y - face.eye_y + 0.03) / 0.2) ** 2)
    pull = np.where(front.left, units.lip_corner_pull_left, units.lip_corner_pull_right)
    cheek = np.maximum(0.6 * pull, units.cheek_raise)  # AU6 and AU12 push the cheek up
    dark -= 0.14 * cheek * soft(((side - 0.06) / 0.2) ** 2 + ((y - face.eye_y - 0.27) / 0.17) ** 2)
    bag = y - face.eye_y - face.eye_width * (0.62 - 0.15 * units.cheek_raise) + 0.5 * side * side
    under = soft((bag / 0.05) ** 2) * soft((side / (1.2 * face.eye_width)) ** 2)
    dark += (0.06 + 0.22 * units.cheek_raise * age) * under
    reach = side - 1.28 * face.eye_width  # crow's feet
    height = y - face.eye_y
    feet = soft(((height - 0.7 * reach) / 0.025) ** 2) + soft(((height + 0.5 * reach) / 0.025) ** 2)
    dark += 0.35 * units.cheek_raise * age * feet * soft((reach / 0.1) ** 2)
    raised = np.minimum(units.inner_brow_raise, 0.25 + units.outer_brow_raise) * age
    above = y - face.brow_middle_y
    lines = soft(((above + 0.15) / 0.03) ** 2) + soft(((above + 0.26) / 0.03) ** 2)
    dark += 0.34 * raised * lines * soft((x / 0.42) ** 2)
    frown = soft(((x - 0.05) / 0.03) ** 2) * soft(((y - face.brow_inner_y + 0.02) / 0.13) ** 2)
    dark += 0.55 * units.brow_lower * frown
    canvas.shade(np.minimum(dark, 0.8))


def _mouth_relief(canvas: Canvas, front: Front, face: SimpleNamespace, units: SimpleNamespace) -> None:
    """The folds from the nose round the mouth, dimples, the hollow under the lip and the chin."""
    x, y = front.x, front.y
    corner_x = np.where(front.left, face.mouth_left_x, face.mouth_right_x)
    corner_y = np.where(front.left, face.mouth_left_y, face.mouth_right_y)
    depth = np.where(front.left, face.fold_left, face.fold_right)
    top = face.nose_tip_y - 0.07
    t = (y - top) / (corner_y + 0.08 - top)
    fold = x - (face.nose_width + 0.02 + (corner_x - face.nose_width + 0.06) * t + 0.10 * t * (1.0 - t))
    dark = 0.42 * depth * soft((fold / 0.045) ** 2) * soft((1.15 * (2.0 * t - 1.0)) ** 2)
    below = face.mouth_y + face.mouth_below + face.lip_below
    dark += (0.12 + 0.22 * units.chin_raise) * soft(((y - below - 0.07) / 0.06) ** 2 + (x / 0.2) ** 2)
    dark += 0.15 * units.chin_raise * soft(((x - 0.09) / 0.05) ** 2 + ((y - below - 0.17) / 0.08) ** 2)
    dimple = np.where(front.left, units.dimple_left, units.dimple_right)
    dark += 0.5 * dimple * soft(((x - corner_x - 0.04) / 0.045) ** 2 + ((y - corner_y) / 0.07) ** 2)
    canvas.shade(np.minimum(dark, 0.8))


def _beard(canvas: Canvas, front: Front, face: SimpleNamespace, who: SimpleNamespace, tones: Tones) -> None:
    """Hair on chin and jaw, and on the upper lip."""
    if not np.any(who.beard > 0.0):
        return
    x, y = front.x, front.y
    chin = np.clip((y - face.mouth_y + 0.02 + 0.5 * (np.minimum(x, 1.0) - 0.35)) / 0.12, 0.0, 1.0) * (y < FAR)
    lip = 0.6 * face.nose_tip_y + 0.4 * face.mouth_y
    moustache = coverage(ellipse(x, y - lip, 0.8 * face.mouth_left_x, 0.055), front.pixel)
    canvas.paint(tones.hair, 0.75 * who.beard * np.maximum(chin, moustache))


def _mouth(canvas: Canvas, front: Front, face: SimpleNamespace, units: SimpleNamespace, tones: Tones) -> None:
    """Lips between two arches that meet in the corners; between the lips the opening with the teeth."""
    x, y = front.x, front.y
    half = np.where(front.left, face.mouth_left_x, face.mouth_right_x)
    corner = np.where(front.left, face.mouth_left_y, face.mouth_right_y)
    s = x / half
    q = s * s
    rest = np.maximum(1.0 - q, 0.0)
    line = face.mouth_y + (corner - face.mouth_y) * q
    arch = rest * (1.0 + face.mouth_square * q)
    arch += units.jaw_drop * (np.sqrt(rest) - arch)  # a dropped jaw rounds the mouth
    top = line - face.mouth_above * arch
    bottom = line + face.mouth_below * arch
    ends = x - half
    lips = np.maximum(top - face.lip_above * rest * (0.8 + 0.6 * q) - y, y - bottom - face.lip_below * rest)
    canvas.paint(tones.lips, coverage(np.maximum(lips, ends), front.pixel))
    gap = face.mouth_above + face.mouth_below
    hole = coverage(np.maximum(np.maximum(top - y, y - bottom), ends), front.pixel)
    hole *= np.clip(gap / 0.03, 0.0, 1.0)
    canvas.paint(_INSIDE, hole)
    teeth = np.maximum(y - top - np.minimum(0.075, 0.7 * gap) * (1.0 - 0.6 * units.jaw_drop), x - 0.85 * half)
    canvas.paint(_TEETH, hole * coverage(teeth, front.pixel))
    lower_teeth = np.maximum(bottom - y - 0.055, x - 0.7 * half)
    canvas.paint(0.9 * _TEETH, hole * coverage(lower_teeth, front.pixel) * units.lower_lip_depress)
    seam = np.maximum(np.abs(y - line) - 0.016 * (0.5 + 0.5 * rest), ends)
    closed = np.clip(1.0 - gap / 0.06, 0.0, 1.0)
    canvas.paint(tones.skin * 0.28, coverage(seam, front.pixel) * (0.85 * closed))


def _nose(canvas: Canvas, front: Front, face: SimpleNamespace, units: SimpleNamespace) -> None:
    """A lit ridge between shaded flanks, wings and nostrils; creases across its root when it is wrinkled
    (AU9)."""
    x, y = front.x, front.y - face.nose_tip_y
    root = front.y - face.eye_y
    creases = soft(((root + 0.02 + 0.4 * x) / 0.025) ** 2) + soft(((root - 0.06 + 0.4 * x) / 0.025) ** 2)
    dark = 0.6 * units.nose_wrinkle * creases * soft((x / 0.13) ** 2)
    dark -= 0.10 * soft((x / 0.07) ** 2) * soft(((y + 0.18) / 0.26) ** 2)
    flank = soft(((x - 0.09 - 0.15 * np.maximum(root, 0.0)) / 0.05) ** 2)
    dark += 0.16 * flank * soft(((y + 0.14) / 0.22) ** 2)
    dark += 0.28 * soft((x / (face.nose_width + 0.03)) ** 2) * soft(((y - 0.035) / 0.045) ** 2)
    wing = np.abs(ellipse(x - face.nose_width + 0.045, y + 0.03, 0.055, 0.06)) - 0.012
    dark += 0.35 * coverage(wing, front.pixel) * (x > face.nose_width - 0.04)
    nostril = ellipse(x - 0.48 * face.nose_width, y - 0.012, 0.038, 0.02)
    dark += 0.65 * coverage(nostril, front.pixel)
    canvas.shade(np.minimum(dark, 0.9))


def _eyes(canvas: Canvas, front: Front, face: SimpleNamespace, camera: SimpleNamespace, tones: Tones) -> None:
    """White, iris and pupil between two lids that arch over the eye's axis."""
    y, across, width = front.y, front.x - face.eye_x, face.eye_width
    s = across / width
    rest = np.maximum(1.0 - s * s, 0.0)
    axis = face.eye_y - face.eye_slant * s
    upper = axis - face.lid_above * rest
    lower = axis + face.lid_below * rest
    ends = np.abs(across) - width
    eye = coverage(np.maximum(np.maximum(upper - y, y - lower), ends), front.pixel)
    canvas.paint(_SCLERA, eye)
    aside = np.where(front.left, -0.28, 0.28).astype(np.float32) * width * camera.gaze_x
    iris_x, iris_y = across - aside, y - face.eye_y + width * (0.03 - 0.2 * camera.gaze_y)
    radius = np.sqrt(iris_x * iris_x + iris_y * iris_y)
    canvas.paint(tones.iris, eye * coverage(radius - 0.42 * width, front.pixel))
    canvas.paint(_BLACK, eye * coverage(radius - 0.20 * width, front.pixel))
    lid = np.maximum(np.abs(y - upper) - 0.022, ends - 0.01)
    canvas.paint(_BLACK, 0.85 * coverage(lid, front.pixel))
    dark = 0.4 * coverage(np.maximum(np.abs(y - lower) - 0.012, ends), front.pixel)
    dark += 0.28 * soft(((y - upper + 0.055) / 0.025) ** 2) * soft((0.95 * s) ** 2)
    canvas.shade(dark)


def _brows(canvas: Canvas, front: Front, face: SimpleNamespace, tones: Tones) -> None:
    """A stroke along the parabola through the inner end, the middle and the outer end."""
    length = face.brow_outer_x - face.brow_inner_x
    t = (front.x - face.brow_inner_x) / length
    bend = 2.0 * (face.brow_inner_y + face.brow_outer_y - 2.0 * face.brow_middle_y)
    slope = face.brow_outer_y - face.brow_inner_y - bend
    height = front.y - (face.brow_inner_y + t * (slope + bend * t))
    steep = (slope + 2.0 * bend * t) / length
    stroke = np.abs(height) / np.sqrt(1.0 + steep * steep) - face.brow_thickness * (1.15 - 0.65 * t)
    ends = np.maximum(-t, t - 1.0) * length
    canvas.paint(tones.brow, 0.92 * coverage(np.maximum(stroke, ends), front.pixel))


def draw_glasses(canvas: Canvas, front: Front, face: SimpleNamespace, camera: SimpleNamespace) -> np.ndarray:
    """Clear or dark glasses; returns what they cover of each pixel, (B, H, W) in [0, 1]."""
    if not np.any(camera.glasses > 0):
        return np.zeros_like(front.x)
    x, y = front.x - face.eye_x, front.y - face.eye_y
    lens = box(x, y - 0.03, 1.35 * face.eye_width, 1.05 * face.eye_width, 0.09)
    bridge = np.maximum(np.maximum(np.abs(y + 0.03) - 0.018, x), -lens)
    frame = coverage(np.minimum(np.abs(lens) - 0.022, bridge), front.pixel) * (camera.glasses > 0)
    glass = coverage(lens, front.pixel) * (camera.glasses > 1)
    canvas.paint(_BLACK, 0.93 * glass)
    canvas.paint(2.0 * _BLACK, frame)
    return np.maximum(frame, glass)
