"""Where an audit's decisions lie, and what is not proposed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesics.data.manifest import read
from kinesics.errors import UserError
from kinesics.studies.audit import session as session_module
from kinesics.studies.audit.decisions import read_decisions
from kinesics.studies.audit.gallery import write_gallery
from kinesics.studies.audit.review import apply_decisions
from kinesics.studies.audit.server import Review
from kinesics.studies.audit.session import AuditSession
from kinesics.studies.audit.study import Audit, audit


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


def test_manifests_of_a_study_have_decisions_each(tmp_path: Path) -> None:
    """They lie in one folder and give the same images different labels."""
    for name in ("flip0-0", "flip30-0"):
        (tmp_path / f"{name}.csv").write_text("path,label,true_label\na.png,neutral,neutral\nb.png,happiness,neutral\n")
        assert session_of(tmp_path, tmp_path / f"{name}.csv").decisions == tmp_path / f"{name}-decisions.csv"


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


def audited(session: AuditSession, monkeypatch: pytest.MonkeyPatch, found: Audit, meanwhile: object = None) -> None:
    """Perform an audit whose evidence is there already; `meanwhile` is called while it is gathered."""

    def gather(*_: object) -> object:
        if callable(meanwhile):
            meanwhile()
        return found.evidence

    monkeypatch.setattr(session_module, "gather", gather)
    session.perform()


def listed(found: Audit, folder: Path) -> Path:
    """A manifest of the samples of an audit."""
    path = folder / "faces.csv"
    label = [found.evidence.classes[k] for k in found.evidence.label]
    rows = [f"{name},{given}\n" for name, given in zip(found.evidence.samples.names, label, strict=True)]
    path.write_text("path,label\n" + "".join(rows))
    return path


def test_what_was_asked_for_is_remembered_where_folds_are_killed(
    found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = replace(session_of(tmp_path, listed(found, tmp_path)), folds=3, neighbours=7, top=9)

    def killed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audited(session, monkeypatch, found, killed)
    later = AuditSession.open(session.run, session.data)
    assert (later.folds, later.neighbours, later.top) == (3, 7, 9)

    def refused() -> None:
        raise UserError("other folds lie there")

    with pytest.raises(UserError):
        audited(replace(session, folds=5), monkeypatch, found, refused)
    assert AuditSession.open(session.run, session.data).folds == 3


def test_a_manifest_that_changes_during_the_audit_is_not_vouched_for(
    found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = listed(found, tmp_path)
    session = session_of(tmp_path, manifest)
    audited(session, monkeypatch, found)
    assert session.done()

    def edit() -> None:
        lines = manifest.read_text().splitlines()
        lines[1] = lines[1].rsplit(",", 1)[0] + "," + next(n for n in found.evidence.classes if n not in lines[1])
        manifest.write_text("\n".join(lines) + "\n")

    with pytest.raises(UserError, match="was changed during the audit"):
        audited(session, monkeypatch, found, edit)
    assert not session.done()


def test_proposals_never_replace_decisions_that_were_saved_meanwhile(
    found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(tmp_path, listed(found, tmp_path))
    audited(session, monkeypatch, found)
    locked = session_module.locked

    @contextmanager
    def late(path: Path) -> Iterator[None]:
        session.decisions.write_text("path,decision\n")  # by a review, just before
        with locked(path):
            yield

    monkeypatch.setattr(session_module, "locked", late)
    with pytest.raises(UserError, match="would be lost"):
        session.propose(None, 0.5)
    assert session.decisions.read_text() == "path,decision\n"


def test_a_manifest_that_has_moved_is_asked_for(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.json").write_text("{}")
    (run / "config.yaml").write_text(f"data: {tmp_path / 'moved.csv'}\n")
    with pytest.raises(UserError, match="is missing") as refused:
        AuditSession.open(run)
    assert "--data" in (refused.value.hint or "")


def test_numbers_of_another_rule_are_made_anew(found: Audit) -> None:
    """Whoever changes how doubts come about changes these, and raises FORMAT, so that no audit of before is shown."""
    doubt = audit(found.evidence, k=5).doubt
    assert session_module.FORMAT == 4
    assert np.allclose(doubt[[0, 1, 8, 9]], [0.855052, 0.974434, 0.086081, 0.02355], atol=1e-6)
