"""kinesics doctor: the environment, and what is missing in it."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from kinesics.cli import doctor
from kinesics.systems import SYSTEMS


def test_as_json(kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KINESICS_CACHE", str(tmp_path / "not" / "yet"))
    answer = kinesics("doctor", "--json")
    content = json.loads(answer.out)
    assert answer.code == 0 and content["systems"] == list(SYSTEMS)
    assert content["python"] == platform.python_version()
    assert content["packages"]["numpy"] == version("numpy")
    assert content["cache"] == str(tmp_path / "not" / "yet") and content["free_gib"] > 0
    assert not (tmp_path / "not").exists()


def test_as_a_table(kinesics: Callable[..., Any]) -> None:
    answer = kinesics("doctor")
    assert answer.code == 0
    assert all(word in answer.out for word in ("python", "torch", "bf16", "systems", ", ".join(SYSTEMS)))


def test_what_is_missing_is_named_with_its_remedy(
    kinesics: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "OPTIONAL", {"unheard_of": ("Parquet manifests", "kinesics[parquet]")})
    answer = kinesics("doctor")
    assert "missing: unheard_of, for Parquet manifests; pip install 'kinesics[parquet]'" in answer.out
    assert json.loads(kinesics("doctor", "--json").out)["missing"] == ["unheard_of"]
    monkeypatch.setattr(doctor, "OPTIONAL", {"json": ("nothing", "nothing")})
    assert "nothing is missing" in kinesics("doctor").out
