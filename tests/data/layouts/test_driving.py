"""Layouts of drives, on small made trees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinesics.data.layouts import convert
from kinesics.data.manifest import read
from kinesics.errors import UserError


def picture(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (16, 12), value).save(path)


def recording(folder: Path, header: bool, n: int = 3) -> None:
    lines = ["center,left,right,steering,throttle,brake,speed"] if header else []
    for k in range(n):
        names = [f"{camera}_{k}.png" for camera in ("center", "left", "right")]
        for name in names:
            picture(folder / "IMG" / name)
        lines.append(f"D:\\rec\\IMG\\{names[0]}, /far/away/IMG/{names[1]},IMG/{names[2]},{k / 10},0,0,{k}")
    (folder / "driving_log.csv").write_text("\n".join(lines) + "\n")


def targets(manifest: object) -> list[float]:
    found = manifest.targets()  # type: ignore[attr-defined]
    return [round(float(value), 6) for value in found]


@pytest.mark.parametrize("header", [True, False])
def test_udacity_sim(header: bool, tmp_path: Path) -> None:
    recording(tmp_path / "lake", header)
    manifest = convert("udacity-sim", tmp_path / "lake", tmp_path / "out.csv", block=2)
    assert manifest.column("path").tolist() == [f"lake/IMG/center_{k}.png" for k in range(3)]
    assert targets(manifest) == [0.0, 0.1, 0.2] and set(manifest.column("silo")) == {"lake"}
    assert manifest.column("group").tolist() == ["lake-0000", "lake-0000", "lake-0001"]
    three = convert("udacity-sim", tmp_path, tmp_path / "all.csv", cameras="all", correction=0.5)
    assert three.column("camera").tolist()[:3] == ["center", "left", "right"]
    assert targets(three)[3:6] == [0.1, 0.6, -0.4]


def test_udacity_sim_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="driving_log.csv"):
        convert("udacity-sim", tmp_path, tmp_path / "out.csv")
    recording(tmp_path / "lake", True)
    log = tmp_path / "lake" / "driving_log.csv"
    text = log.read_text()
    log.write_text(text.replace(",0.1,", ",left,"))
    with pytest.raises(UserError, match="line 3: steering is not a number"):
        convert("udacity-sim", log, tmp_path / "out.csv")
    log.write_text(text + "a,b\n")
    with pytest.raises(UserError, match="line 5: fewer than 4 cells"):
        convert("udacity-sim", log, tmp_path / "out.csv")
    log.write_text(text.replace("center_", "centre_"))
    with pytest.raises(UserError, match="none of the 3 pictures"):
        convert("udacity-sim", log, tmp_path / "out.csv")
    with pytest.raises(UserError, match="--cameras"):
        convert("udacity-sim", log, tmp_path / "out.csv", cameras="left")
    with pytest.raises(UserError, match="--block"):
        convert("udacity-sim", log, tmp_path / "out.csv", block=-1)


def test_udacity_ch2(tmp_path: Path) -> None:
    lines = ["index,timestamp,width,height,frame_id,filename,angle,torque"]
    for k in range(2):
        for camera in ("left", "center"):
            picture(tmp_path / "HMB_1" / camera / f"{k}.png")
            lines.append(f"2016,{k},640,480,{camera}_camera,{camera}/{k}.png,{-k / 4},0")
    (tmp_path / "HMB_1" / "interpolated.csv").write_text("\n".join(lines) + "\n")
    manifest = convert("udacity-ch2", tmp_path, tmp_path / "out.csv")
    assert manifest.column("path").tolist() == ["HMB_1/center/0.png", "HMB_1/center/1.png"]
    assert targets(manifest) == [0.0, -0.25] and set(manifest.column("silo")) == {"HMB_1"}
    assert len(convert("udacity-ch2", tmp_path / "HMB_1", tmp_path / "all.csv", cameras="all")) == 4


def test_sessions(tmp_path: Path) -> None:
    for session in ("a", "b"):
        lines = ["image,t_ms,steering,steering_smooth"]
        for k in range(10):
            picture(tmp_path / "src" / session / "img" / f"{k}.png")
            lines.append(f"{k}.png,{k},0,{k / 10}")
        (tmp_path / "src" / session / "log.csv").write_text("\n".join(lines) + "\n")
    manifest = convert("udacity-sessions", tmp_path / "src", tmp_path / "out.csv", block=3)
    assert manifest.column("silo").tolist() == ["a"] * 10 + ["b"] * 10
    assert manifest.column("split").tolist() == (["train"] * 8 + ["test"] * 2) * 2
    assert targets(manifest)[:10] == [k / 10 for k in range(10)]
    split, group = manifest.column("split"), manifest.column("group")
    assert all(len(set(split[group == name])) == 1 for name in set(group))
    raw = convert("udacity-sessions", tmp_path / "src", tmp_path / "raw.csv", target_column="steering")
    assert set(targets(raw)) == {0.0}
    with pytest.raises(UserError, match="no column 'angle'"):
        convert("udacity-sessions", tmp_path / "src", tmp_path / "x.csv", target_column="angle")
    with pytest.raises(UserError, match="--test-fraction"):
        convert("udacity-sessions", tmp_path / "src", tmp_path / "x.csv", test_fraction=1.0)


def test_real_sessions(shared: Path, tmp_path: Path) -> None:
    manifest = convert("udacity-sessions", shared / "data" / "udacity_sim_sessions", tmp_path / "out.csv")
    assert len(manifest) == 7010 and len(set(manifest.column("silo"))) == 8


def test_donkeycar(tmp_path: Path) -> None:
    new, old = tmp_path / "tub_2", tmp_path / "tub_1"
    records = [
        {"_index": k, "cam/image_array": f"{k}.png", "user/angle": k / 10, "user/mode": mode}
        for k, mode in enumerate(["user", "user", "pilot", "user"])
    ]
    for k in range(4):
        picture(new / "images" / f"{k}.png")
        picture(old / f"{k}_cam-image_array_.png")
        record = {"cam/image_array": f"{k}_cam-image_array_.png", "user/angle": -k / 10}
        (old / f"record_{k}.json").write_text(json.dumps(record))
    (new / "catalog_0.catalog").write_text("".join(json.dumps(record) + "\n" for record in records))
    (new / "manifest.json").write_text('["cam/image_array"]\n{"deleted_indexes": [1]}\n')
    manifest = convert("donkeycar", tmp_path, tmp_path / "out.csv")
    assert targets(manifest) == [0.0, -0.1, -0.2, -0.3, 0.0, 0.3]
    assert manifest.column("silo").tolist() == ["tub_1"] * 4 + ["tub_2"] * 2
    assert targets(convert("donkeycar", new, tmp_path / "one.csv")) == [0.0, 0.3]
    (new / "catalog_0.catalog").write_text('{"cam/image_array": "0.png"}\n')
    with pytest.raises(UserError, match="catalog_0.catalog: line 1: expected"):
        convert("donkeycar", new, tmp_path / "x.csv")
    (new / "catalog_0.catalog").write_text("{\n")
    with pytest.raises(UserError, match="line 1: not JSON"):
        convert("donkeycar", new, tmp_path / "x.csv")
    with pytest.raises(UserError, match="a right tree"):
        convert("donkeycar", new / "images", tmp_path / "x.csv")


@pytest.mark.parametrize("form", ["HW", "HWC", "CHW", "float"])
def test_fadnet_npz(form: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 24), dtype=np.uint8)
    stored = {"HW": images, "HWC": images[..., None], "CHW": images[:, None], "float": images.astype(np.float32)}[form]
    for part in ("train/0", "test/0"):
        (tmp_path / "src" / part).parent.mkdir(parents=True)
        np.savez(tmp_path / "src" / f"{part}.npz", imgs=stored, ground_truths=np.arange(4) / 4)
    convert("fadnet-npz", tmp_path / "src", tmp_path / "out.csv")
    manifest = read(tmp_path / "out.csv")
    assert manifest.column("split").tolist() == ["test"] * 4 + ["train"] * 4
    assert targets(manifest) == [0.0, 0.25, 0.5, 0.75] * 2
    np.testing.assert_array_equal(np.asarray(Image.open(manifest.files()[6])), images[2])


def test_fadnet_npz_as_released(tmp_path: Path) -> None:
    """data/driving_gazebo/gaia: a file a silo that names its pictures, and all of them once more in train.npz."""
    data, silos = tmp_path / "data", tmp_path / "data" / "driving" / "gaia"
    names = [f"driving/original/{k}.png" for k in range(9)]
    for k, name in enumerate(names):
        picture(data / name, k)
    for part in ("train", "test"):
        (silos / part).mkdir(parents=True)
    for file, chosen in (("train/0", [0, 1]), ("train/1", [2, 3]), ("train/10", [4, 5]), ("train/2", [6]),
                         ("train/train", range(7)), ("test/test", [7, 8])):  # fmt: skip
        chosen = list(chosen)
        np.savez(silos / f"{file}.npz", file_names=np.array(names)[chosen], ground_truths=np.array(chosen) / 10)
    manifest = convert("fadnet-npz", silos, tmp_path / "out.csv")
    assert manifest.column("silo").tolist() == ["test"] * 2 + ["0"] * 2 + ["1"] * 2 + ["10"] * 2 + ["2"]
    assert manifest.column("split").tolist() == ["test"] * 2 + ["train"] * 7
    assert [Image.open(path).getpixel((0, 0)) for path in manifest.files()] == [7, 8, 0, 1, 2, 3, 4, 5, 6]
    assert targets(manifest) == [0.7, 0.8, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert not (tmp_path / "out_images").exists()
    (data / names[3]).unlink()
    with pytest.raises(UserError, match="1 of 2 pictures of file_names aren't there"):
        convert("fadnet-npz", silos, tmp_path / "out.csv")


def test_arrays_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    for content, said in (
        ({"imgs": np.zeros((2, 4, 4), np.uint8)}, "no arrays"),
        ({"imgs": np.zeros((2, 4), np.uint8), "ground_truths": np.zeros(2)}, "imgs is"),
        ({"imgs": np.zeros((2, 4, 4)) - 1, "ground_truths": np.zeros(2)}, "from 0 to 255"),
        ({"imgs": np.zeros((2, 4, 4)), "ground_truths": np.array([0, np.nan])}, "not finite"),
        ({"imgs": np.array([None, {}]), "ground_truths": np.zeros(2)}, "no arrays"),
    ):
        np.savez(file, **content)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=said):
            convert("fadnet-npz", file, tmp_path / "out.csv")
    file.write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="no arrays"):
        convert("fadnet-npz", file, tmp_path / "out.csv")
    with pytest.raises(UserError, match="a right tree"):
        (tmp_path / "empty").mkdir()
        convert("fadnet-npz", tmp_path / "empty", tmp_path / "out.csv")
