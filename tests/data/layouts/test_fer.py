from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.data.layouts import convert
from kinesics.errors import UserError

USAGES = ("Training", "Training", "PublicTest", "PrivateTest", "Training", "Training", "Training")
VOTES = (
    # neutral happiness surprise sadness anger disgust fear contempt unknown NF
    (4, 0, 0, 1, 3, 2, 0, 0, 0, 0),
    (0, 9, 1, 0, 0, 0, 0, 0, 0, 0),
    (1, 0, 0, 0, 0, 0, 0, 5, 4, 0),
    (0, 0, 5, 0, 0, 0, 5, 0, 0, 0),
    (2, 0, 0, 0, 2, 0, 0, 0, 6, 0),
    (0, 0, 0, 0, 0, 0, 0, 0, 2, 8),
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 10),
)
HEAD = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def _faces() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (len(USAGES), 48, 48), dtype=np.uint8)


def _fer2013(root: Path, header: str = "emotion,pixels,Usage") -> Path:
    root.mkdir(exist_ok=True)
    lines = [header]
    for k, face in enumerate(_faces()):
        cells = {"emotion": str(k), "pixels": " ".join(map(str, face.ravel())), "Usage": USAGES[k]}
        lines.append(",".join(cells[name.strip()] for name in header.split(",")))
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return root


def _ferplus(root: Path) -> Path:
    _fer2013(root)
    lines = [HEAD]
    for k, votes in enumerate(VOTES):
        name = "" if k == 6 else f"fer{k:07d}.png"
        lines.append(",".join([USAGES[k], name, *map(str, votes)]))
    (root / "fer2013new.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", "emotion, Usage, pixels"])
def test_fer2013_becomes_pictures_and_rows(tmp_path: Path, header: str) -> None:
    source = _fer2013(tmp_path / "src", header)
    for origin in (source, source / "fer2013.csv"):
        manifest = convert("fer2013", origin, tmp_path / "out.csv")
        # FER2013's own numbers: 0 angry 1 disgust 2 fear 3 happy 4 sad 5 surprise 6 neutral
        labels = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]
        assert manifest.column("label").tolist() == labels
        splits = ["train", "train", "valid", "test", "train", "train", "train"]
        assert manifest.column("split").tolist() == splits
        assert manifest.column("path")[2] == "out_images/00002.png"
        pictures = [np.asarray(Image.open(path)) for path in manifest.files()]
        np.testing.assert_array_equal(pictures, _faces())


def test_ferplus_votes_majority_and_what_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = _ferplus(tmp_path / "src")
    with caplog.at_level(logging.INFO, logger="kinesics"):
        manifest = convert("ferplus", source, tmp_path / "out.csv")
    assert manifest.column("fer2013_row").tolist() == ["0", "1", "2", "3"]
    assert manifest.column("label").tolist() == ["neutral", "happiness", "contempt", "surprise"]
    assert manifest.column("fer2013_label").tolist() == ["anger", "disgust", "fear", "happiness"]
    assert manifest.column("ferplus_name")[3] == "fer0000003.png"
    assert manifest.column("votes_unknown").tolist() == ["0", "0", "4", "0"]
    assert manifest.column("votes_nf").tolist() == ["0"] * 4
    order = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]
    votes = manifest.votes()
    assert votes is not None
    for k in range(4):
        for name in order:
            assert votes[k, manifest.classes.index(name)] == VOTES[k][order.index(name)]
    assert "1 left out: faces without a name" in caplog.text
    assert "1 left out: faces with most votes for unknown" in caplog.text
    assert "1 left out: faces with most votes for not a face" in caplog.text
    assert len(list((tmp_path / "out_images").iterdir())) == 4
    pictures = [np.asarray(Image.open(path)) for path in manifest.files()]
    np.testing.assert_array_equal(pictures, _faces()[:4])


def test_ferplus_with_the_original_labels(tmp_path: Path) -> None:
    manifest = convert("ferplus", _ferplus(tmp_path / "src"), tmp_path / "out.csv", labels="fer2013")
    assert manifest.column("label").tolist() == manifest.column("fer2013_label").tolist()
    assert len(manifest) == 4
    with pytest.raises(UserError, match="--labels is 'votes'"):
        convert("ferplus", tmp_path / "src", tmp_path / "out.csv", labels="votes")


def test_ferplus_by_the_published_protocol(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="kinesics"):
        manifest = convert("ferplus", _ferplus(tmp_path / "src"), tmp_path / "out.csv", labels="published")
    # row 0 learns 4 and 3 votes: three quarters of the 9 that are not single; row 1 happiness alone; row 2 is a
    # validation face with 5 of 9 votes for contempt; row 3 a test face on which two emotions are equal
    assert manifest.column("fer2013_row").tolist() == ["0", "1", "2"]
    assert manifest.column("label").tolist() == ["neutral", "happiness", "contempt"]
    votes = manifest.votes()
    assert votes is not None
    places = [manifest.classes.index(name) for name in ("neutral", "anger", "disgust", "sadness")]
    assert votes[0, places] / votes[0].sum() == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert votes[1, manifest.classes.index("happiness")] == votes[1].sum() > 0
    assert votes[2, manifest.classes.index("contempt")] == 5 == votes[2].sum()
    assert "1 left out: faces without a clear majority" in caplog.text


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("fer2013.csv", "\n1,", "\n7,", "fer2013.csv: line 3: emotion is not a number from 0 to 6"),
        ("fer2013.csv", "\n1,", "\n1,12 ", "line 3: pixels are not 48 x 48"),
        ("fer2013.csv", "\n1,", "\n1,x ", "line 3: pixels are not"),
        ("fer2013.csv", "PublicTest", "Publictest2", "line 4: Usage is not"),
        ("fer2013.csv", "emotion", "label", "no column emotion"),
        ("fer2013new.csv", "PublicTest", "Training", "line 4 is of PublicTest, but line 4 of"),
        ("fer2013new.csv", "Training,fer0000001", "\nTraining,x,1,1,1,1,1,1,1,1,1,1\nTraining,fer0000001", "is of"),
        ("fer2013new.csv", ",9,1,", ",9,-1,", "fer2013new.csv: line 3: votes are not whole"),
        ("fer2013new.csv", ",9,1,", ",9,,", "line 3: votes are not whole"),
        ("fer2013new.csv", "contempt", "scorn", "no column 'contempt'"),
        ("fer2013new.csv", "Training,,0,0,0,0,0,0,0,0,0,10\n", "", "has 7 faces, but"),
    ],
)
def test_faulty_files_are_named_with_lines(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    source = _ferplus(tmp_path / "src")
    text = (source / file).read_text()
    assert old in text
    (source / file).write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        convert("ferplus", source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_ferplus_needs_both_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no .*fer2013new\.csv"):
        convert("ferplus", _fer2013(tmp_path / "src"), tmp_path / "out.csv")
