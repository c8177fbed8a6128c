"""Where an audit's decisions lie, and what is not proposed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesics.data.manifest import read
from kinesics.errors import UserError
from kinesics.studies.audit.decisions import read_decisions
from kinesics.studies.audit.gallery import write_gallery
from kinesics.studies.audit.review import apply_decisions
from kinesics.studies.audit.server import Review
from kinesics.studies.audit.session import AuditSession
from kinesics.studies.audit.study import Audit


def session_of(folder: Path, manifest: Path) -> AuditSession:
    """Of a folder that has of a run what its audit's place depends on."""
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "model.json").write_text("{}")
    return AuditSession.open(folder / "run", str(manifest))


def test_a_corrected_manifest_has_decisions_of_its_own(tmp_path: Path) -> None:
    """Those of the first round may name rows that the corrected manifest lacks."""
    first, second = tmp_path / "faces.csv", tmp_path / "better.csv"
    first.write_text("path,label\na.png,neutral\nb.png,happiness\nc.png,neutral\n")
    file = session_of(tmp_path, first).decisions
    assert file == tmp_path / "decisions.csv"
    file.write_text("path,decision,label\na.png,drop,\nb.png,relabel,neutral\n")
    rows = read(first)
    apply_decisions(rows, read_decisions(file, rows.classes), file).manifest.write(second)
    assert session_of(tmp_path, second).decisions == tmp_path / "better-decisions.csv"
    assert session_of(tmp_path, first).decisions == file


def boxes(found: Audit, folder: Path) -> Path:
    """A manifest whose second row has another face of the first row's photograph."""
    names = [str(name) for name in found.evidence.samples.names[:6]]
    path = folder / "boxes.csv"
    path.write_text(
        "path,label,box_x,box_y,box_w,box_h\n"
        + "".join(f"{name},neutral,{k},0,8,8\n" for k, name in enumerate([names[0], *names]))
    )
    return path


def test_faces_of_one_photograph_are_ranked_but_not_decided_on(found: Audit, tmp_path: Path) -> None:
    manifest = boxes(found, tmp_path)
    shared = str(found.evidence.samples.names[0])
    told = f"boxes.csv: lines 2, 3: {shared} stands in several rows"
    write_gallery(found, tmp_path / "gallery.html", "run", "boxes.csv", 40)
    with pytest.raises(UserError, match=told) as refused:
        Review.open(tmp_path / "gallery.html", tmp_path / "d.csv", str(manifest))
    assert "files of their own" in (refused.value.hint or "")
    session = session_of(tmp_path, manifest)
    session.out.mkdir()
    other = found.evidence.samples.names[1]
    (session.out / "audit.csv").write_text(
        f"path,label,proposed,doubt\n{other},neutral,anger,0.9\n{shared},neutral,anger,0.8\n"
    )
    with pytest.raises(UserError, match=told):
        session.propose(None, 0.5)
    assert not session.decisions.exists()
    assert session.propose(1, None) == 1
