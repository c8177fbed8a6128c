"""A camera as a source of frames, through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from kinesics.errors import UserError
from kinesics.vision.video import Frame


def read_camera(source: str, end: float | None = None, every: int = 1, fps: float | None = None) -> Iterator[Frame]:
    """Frames of a camera, each as soon as it comes.

    Args:
        source: number of the camera, "0" the first; or a video file, which is played in the place of one, as fast as
            its frames are taken.
        end: seconds after which to stop; None goes on until the camera does.
        every: take one frame of so many.
        fps: take at most so many frames a second.

    Raises:
        UserError: OpenCV is missing, or the camera gives no frame.
    """
    try:
        import cv2
    except ImportError:
        raise UserError("a camera needs opencv-python-headless", hint="pip install 'kinesics[vision]'") from None
    live = source.isdigit()
    camera = cv2.VideoCapture(int(source) if live else source)
    try:
        if live:
            camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame, not one from a queue
        began, taken, index = time.monotonic(), 0, -1
        while True:
            there, image = camera.read()
            if not there:
                break
            index += 1
            now = time.monotonic() - began if live else max(camera.get(cv2.CAP_PROP_POS_MSEC) / 1000, 0.0)
            if end is not None and now >= end:
                return
            if index % every or (fps is not None and now * fps < taken - 1e-6):
                continue
            taken = int(now * (fps or 0.0) + 1e-6) + 1
            yield Frame(np.ascontiguousarray(image[:, :, ::-1]), index, now)
        if index < 0:
            raise UserError(
                f"--webcam {source}: no frame comes from there", hint="is the camera there, and not in use?"
            )
    finally:
        camera.release()
