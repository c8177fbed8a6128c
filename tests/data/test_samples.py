"""Samples: what is shown of them."""

from __future__ import annotations

import numpy as np

from kinesics.data.samples import Samples


def made() -> Samples:
    """Three pictures of 4 x 5 pixels, the last of which comes first."""
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 2), dtype=np.uint8)
    names = np.array(["a", "b", "c"], dtype=object)
    return Samples(images, np.array([2, 0, 1]), {"label": np.array([0, 1, 0])}, names, ("x", "y"))


def test_mirrored_pictures_have_left_and_right_swapped_and_nothing_else() -> None:
    samples, positions = made(), np.array([1, 0])
    swapped = samples.mirrored()
    shown, batch = samples.batch(positions), swapped.batch(positions)
    for row in range(2):
        for x in range(5):
            assert (batch["image"][row, :, x] == shown["image"][row, :, 4 - x]).all()
    assert np.array_equal(swapped.pixels(positions), batch["image"].numpy())
    assert batch["label"].tolist() == [1, 0] and batch["index"].tolist() == [1, 0]
    assert np.array_equal(swapped.subset([2]).pixels(np.array([0]))[0], samples.images[1][:, ::-1]), "subsets keep it"
    again = swapped.mirrored()
    assert np.array_equal(again.pixels(positions), samples.pixels(positions))
