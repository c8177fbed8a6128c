"""dlib's frontal face detector: histograms of oriented gradients, five linear filters, weights inside the package.

Method: N. Dalal and B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005; D. E. King,
"Max-margin object detection", arXiv 1502.00046 (2015).
"""

from __future__ import annotations

import numpy as np

from kinesics.errors import UserError
from kinesics.vision.faces import Face


class DlibFaces:
    """Finds faces of 80 pixels and more that look at the camera or up to about 40 degrees aside.

    Args:
        upsample: how often the picture is doubled first: once for faces from 40 pixels.
        threshold: least score; lower finds more, false ones too.

    Raises:
        UserError: dlib is not installed.
    """

    def __init__(self, upsample: int = 1, threshold: float = 0.0) -> None:
        try:
            import dlib
        except ImportError:
            raise UserError("finding faces with dlib needs dlib-bin", hint="pip install 'kinesics[vision]'") from None
        self.upsample, self.threshold = upsample, threshold
        self._run = dlib.get_frontal_face_detector().run

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Faces of (H, W, 3) or (H, W) uint8, surest first."""
        if min(image.shape[:2]) < 2:
            return []
        found, scores, _ = self._run(np.ascontiguousarray(image), self.upsample, self.threshold)
        faces = [
            Face((float(r.left()), float(r.top()), float(r.width()), float(r.height())), float(score))
            for r, score in zip(found, scores, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.score)
