"""One audit on disk: where it lies, whether it is there already, making it, and proposing decisions from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kinesics.data.manifest import read as read_manifest
from kinesics.data.tables import csv_columns
from kinesics.engine.run import Run
from kinesics.errors import UserError
from kinesics.files import atomic_write, locked, make_folder, sha256_file
from kinesics.studies.audit.decisions import Decision, now, write_decisions
from kinesics.studies.audit.evidence import gather
from kinesics.studies.audit.gallery import write_gallery
from kinesics.studies.audit.review import BEFORE, refuse_shared
from kinesics.studies.audit.study import Audit, audit, write_audit
from kinesics.studies.compare.manifests import TRUTH as DERIVED_TRUTH

FORMAT = 4
"""Of audit.json, and of how its numbers come about; results of another one are made anew."""


@dataclass(frozen=True)
class AuditSession:
    """Where an audit's files are, and the settings that decide it.

    Args:
        run: directory of a finished run.
        data: its manifest.
        out: folder of audit.csv, audit.json, gallery.html and folds/.
        decisions: file that the review writes and reads.
        folds: K of the cross-validation, 0 for none.
        neighbours: K of the neighbour search.
        top: samples on the page.
        device: of the run's answers and of the folds; None for cpu and the run's own.
    """

    run: Path
    data: str
    out: Path
    decisions: Path
    folds: int = 0
    neighbours: int = 20
    top: int = 300
    device: str | None = None

    @classmethod
    def open(
        cls,
        run: Path,
        data: str | None = None,
        out: Path | None = None,
        decisions: Path | None = None,
        device: str | None = None,
        **settings: int | None,
    ) -> AuditSession:
        """An audit with its defaults filled in.

        Args:
            run: directory of a finished run.
            data: manifest; by default where it was when the run was trained.
            out: RUN/audit by default.
            decisions: by default decisions.csv beside the manifest, or <its name>-decisions.csv where it was corrected
                by a review already, whose decisions lie there, or is one of a study's.
            device: of the run's answers (cpu) and of the folds (the run's own).
            settings: folds, neighbours and top; None for those that were last asked for in `out`, also by an audit that
                was stopped.

        Raises:
            UserError: no finished run, or no manifest.
        """
        folder = Run.find(run).folder
        where = out or folder / "audit"
        manifest = data or _data_of(folder)
        made = _read_json(where / "audit.json").get("settings")
        before = _read_json(where / "folds" / "folds.json") | (made if isinstance(made, dict) else {})
        before |= _read_json(where / "settings.json")
        chosen: dict[str, int] = {}
        for name in ("folds", "neighbours", "top"):
            asked = settings.get(name)
            remembered = before[name] if type(before.get(name)) is int else getattr(cls, name)
            chosen[name] = remembered if asked is None else asked
        file = decisions or _decisions_of(manifest)
        return cls(folder, manifest, where, file, device=device, **chosen)

    def settings(self) -> dict[str, Any]:
        """What decides the results."""
        return {
            "format": FORMAT,
            "model": sha256_file(self.run / "model.json"),
            "manifest": read_manifest(self.data).fingerprint,
            "folds": self.folds,
            "neighbours": self.neighbours,
            "top": self.top,
        }

    def done(self) -> bool:
        """Whether `out` holds the results of these very settings."""
        there = all((self.out / name).is_file() for name in ("audit.csv", "gallery.html"))
        return there and _read_json(self.out / "audit.json").get("settings") == self.settings()

    def perform(self) -> Audit:
        """Make the audit and write its files; audit.json comes last and says that the others are whole.

        Raises:
            UserError: as `gather` raises; or the manifest was changed meanwhile.
        """
        make_folder(self.out)
        settings = self.settings()
        with self._remembered():
            evidence = gather(self.run, self.data, self.folds, self.out / "folds", self.device)
        found = audit(evidence, self.neighbours)
        if self.settings() != settings:
            raise UserError(
                f"{self.data} or {self.run} was changed during the audit, which is of what they were before",
                hint="audit once more; finished folds are kept where the manifest is the same",
            )
        (self.out / "audit.json").unlink(missing_ok=True)
        write_audit(found, self.out / "audit.csv")
        write_gallery(found, self.out / "gallery.html", self.run.resolve().name, Path(self.data).name, self.top)
        whole = {"run": str(self.run), "data": self.data, "settings": settings, **found.summary()}
        _write_json(self.out / "audit.json", whole)
        return found

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        """Note in settings.json what is asked for, in case that folds are stopped; not where it is refused."""
        file = self.out / "settings.json"
        before = _read_json(file)
        asked = {"folds": self.folds, "neighbours": self.neighbours, "top": self.top}
        _write_json(file, asked)
        try:
            yield
        except UserError:
            if before:
                _write_json(file, before)
            else:
                file.unlink()
            raise

    def check_free(self) -> None:
        """Refuse to propose decisions where there are some.

        Raises:
            UserError: the file exists.
        """
        if self.decisions.exists():
            raise UserError(
                f"{self.decisions} exists and would be lost", hint="give another file by --decisions, or remove it"
            )

    def propose(self, count: int | None, doubt: float | None) -> int:
        """Write decisions that relabel the most doubtful samples for which another label is proposed.

        Args:
            count: how many at most; None for no limit.
            doubt: from which doubt on; None for any.

        Returns:
            How many were written.

        Raises:
            UserError: there are decisions already, or one would be on an image that stands in several rows.
        """
        _, columns = csv_columns(self.out / "audit.csv", ("path", "label", "proposed", "doubt"))
        when = now()
        rows = zip(columns["path"], columns["label"], columns["proposed"], columns["doubt"], strict=True)
        chosen = [
            Decision(path, "relabel", proposed, when)
            for path, label, proposed, value in rows
            if proposed != label and (doubt is None or float(value) >= doubt)
        ][:count]
        refuse_shared(read_manifest(self.data), [row.path for row in chosen])
        with locked(self.decisions):
            self.check_free()
            write_decisions(self.decisions, chosen)
        return len(chosen)


def _decisions_of(manifest: str) -> Path:
    """Where the decisions on a manifest lie unless another file is named."""
    path = Path(manifest)
    one_of_several = {BEFORE, DERIVED_TRUTH} & set(read_manifest(path).table)
    return path.with_name(f"{path.stem}-decisions.csv" if one_of_several else "decisions.csv")


def _data_of(folder: Path) -> str:
    """The manifest that a run's config.yaml names."""
    try:
        content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        data = str(content["data"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'config.yaml'} does not say where the data are", hint="give --data") from error
    if not Path(data).exists():
        raise UserError(
            f"{data} is missing: the manifest of {folder}, seen from the folder of its training",
            hint="give it by --data",
        )
    return data


def _read_json(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is missing or no table."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path, "w") as stream:
        json.dump(content, stream, indent=1)
        stream.write("\n")
