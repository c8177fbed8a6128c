"""Decisions: read, refused, applied to a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesics.data.manifest import Manifest, read
from kinesics.errors import UserError
from kinesics.studies.audit.decisions import Decision, read_decisions, write_decisions
from kinesics.studies.audit.review import Applied, apply_decisions

CLASSES = ("neutral", "happiness", "sadness")


def written(folder: Path, text: str) -> Path:
    path = folder / "decisions.csv"
    path.write_text(text, encoding="utf-8")
    return path


def manifest_in(folder: Path) -> Manifest:
    path = folder / "manifest.csv"
    path.write_text(
        "path,label,split,note,p_neutral,p_happiness,p_sadness\n"
        "a.png,neutral,train,x,8,1,1\nb.png,happiness,train,y,6,4,0\nc.png,sadness,train,z,,,\nd.png,sadness,test,w,0,0,10\n"
    )
    return read(path)


def applied(folder: Path, text: str, **options: bool) -> Applied:
    manifest = manifest_in(folder)
    source = written(folder, text)
    return apply_decisions(manifest, read_decisions(source, manifest.classes), source, **options)


def test_round_trip(tmp_path: Path) -> None:
    rows = [Decision('a, "b".png', "relabel", "sadness", "2026-01-01T00:00:00+00:00"), Decision("ü.png", "drop")]
    write_decisions(tmp_path / "d.csv", rows)
    found = read_decisions(tmp_path / "d.csv", CLASSES)
    assert list(found) == ['a, "b".png', "ü.png"]
    assert all(found[row.path].same_as(row) for row in rows)
    assert found['a, "b".png'].when == rows[0].when


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the columns: path,decision,label,when"),
        ("path,label\na,b\n", "no column 'decision'"),
        ("path,decision\na.png,keep\n,keep\n", "line 3: no path"),
        (
            "path,decision\na.png,keep\nb.png,maybe\nc.png,no\n",
            "lines 3, 4: decision must be one of keep, drop, relabel; got 'maybe', 'no'",
        ),
        ("path,decision,label\na.png,relabel,\n", "line 2: relabel needs a label"),
        (
            "path,decision,label\na.png,relabel,joyfull\n",
            "line 2: unknown label; known: neutral, happiness, sadness; got",
        ),
        ("path,decision,label\na.png,keep,\na.png,drop,\n", "lines 2 and 3 decide differently on a.png: keep, drop"),
        (
            "path,decision,label\na.png,relabel,sadness\na.png,relabel,neutral\n",
            "lines 2 and 3 decide differently on a.png: relabel sadness, relabel neutral",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        read_decisions(written(tmp_path, text), CLASSES)
    assert message in str(told.value)


def test_the_same_twice_is_one_decision_and_spellings_are_known(tmp_path: Path) -> None:
    text = "path,decision,label,when\na.png,relabel,Happy,1\na.png,relabel,happiness,2\n"
    assert len(read_decisions(written(tmp_path, text), CLASSES)) == 1


def test_applying(tmp_path: Path) -> None:
    done = applied(
        tmp_path,
        "path,decision,label\na.png,relabel,sadness\nb.png,keep,\nc.png,drop,\nd.png,relabel,sadness\n",
    )
    assert (done.relabelled, done.kept, done.dropped) == (1, 2, 1)
    done.manifest.write(tmp_path / "out.csv")
    out = read(tmp_path / "out.csv")
    assert out.column("path").tolist() == ["a.png", "b.png", "d.png"]
    assert out.column("label").tolist() == ["sadness", "happiness", "sadness"]
    assert out.column("label_before_review").tolist() == ["neutral", "happiness", "sadness"]
    assert out.column("review").tolist() == ["relabel", "keep", "keep"]
    assert out.column("note").tolist() == ["x", "y", "w"]
    assert out.column("split").tolist() == ["train", "train", "test"]


def test_votes_stay_unless_they_are_cleared(tmp_path: Path) -> None:
    text = "path,decision,label\na.png,relabel,sadness\nb.png,relabel,neutral\nc.png,relabel,neutral\n"
    done = applied(tmp_path, text)
    assert (done.votes_against, done.votes_cleared) == (1, 0)
    assert done.manifest.column("p_neutral")[:2].tolist() == [8, 6]
    done = applied(tmp_path, text, clear_votes=True)
    assert (done.votes_against, done.votes_cleared) == (0, 2)
    assert np.isnan(done.manifest.column("p_neutral")[:3]).all()
    assert done.manifest.column("p_sadness")[3] == 10
    assert done.manifest.labels()[:3].tolist() == [2, 0, 0]


def test_a_second_review_keeps_the_first_labels(tmp_path: Path) -> None:
    once = applied(tmp_path, "path,decision,label\na.png,relabel,sadness\n").manifest
    again = apply_decisions(once, {"a.png": Decision("a.png", "relabel", "happiness")}, Path("d.csv")).manifest
    assert again.column("label")[0] == "happiness"
    assert again.column("label_before_review")[0] == "neutral"


def test_paths_that_are_not_there_or_not_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lines 2, 4: .*no such path: x.png, y.png"):
        applied(tmp_path, "path,decision\nx.png,drop\na.png,keep\ny.png,drop\n")
    manifest = Manifest.from_columns({"path": ["a.png", "a.png", "b.png"], "label": ["neutral", "sadness", "neutral"]})
    with pytest.raises(UserError, match=r"lines 2, 3: a.png stands in several rows"):
        apply_decisions(manifest, {"a.png": Decision("a.png", "drop")}, Path("d.csv"))


def test_decisions_on_a_derived_manifest_serve_the_one_it_was_derived_from(tmp_path: Path) -> None:
    """A study's manifest lies elsewhere and names the same files by other paths, links of folders followed."""
    manifest = manifest_in(tmp_path)
    folder = tmp_path / "study" / "manifests"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path)
    source = written(folder, f"path,decision,label\n../../a.png,relabel,sadness\n{tmp_path}/link/c.png,drop,\n")
    done = apply_decisions(manifest, read_decisions(source, manifest.classes), source).manifest
    assert done.column("path").tolist() == ["a.png", "b.png", "d.png"]
    assert done.column("label").tolist() == ["sadness", "happiness", "sadness"]
    source = written(folder, "path,decision\n../../a.png,keep\na.png,drop\n../../b.png,keep\n")
    with pytest.raises(UserError, match=r"lines 2, 3: ../../a.png and a.png are one file"):
        apply_decisions(manifest, read_decisions(source, manifest.classes), source)
    source = written(folder, "path,decision\n../a.png,keep\n")
    with pytest.raises(UserError, match=r"line 2: .*no such path: ../a.png"):
        apply_decisions(manifest, read_decisions(source, manifest.classes), source)


def test_dropping_everything_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="drops every row"):
        applied(tmp_path, "path,decision\n" + "".join(f"{name}.png,drop\n" for name in "abcd"))
