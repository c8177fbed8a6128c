"""Models to and from a Hugging Face hub: weights, their description and a card; never data, samples or predictions."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kinesics.engine.run import Run, load_model
from kinesics.errors import UserError
from kinesics.files import make_folder, sha256_file
from kinesics.inference.model_card import card_of
from kinesics.inference.predictor import locate
from kinesics.systems import get_system

FILES = ("model.safetensors", "model.json", "README.md")
"""All that is ever uploaded."""

PULLED = ("model.safetensors", "model.json", "README.md", "LICENSE", "NOTICE")
"""All that is ever downloaded, as far as it is there."""


def push(
    run: str | os.PathLike[str],
    repo: str,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    terms: str | None = None,
) -> str:
    """Upload a run's model with a generated card.

    The hub is huggingface.co or what HF_ENDPOINT names; the token is HF_TOKEN's or the one of `hf auth login`.

    Args:
        run: run directory, or the name of a shipped model.
        repo: "owner/name"; made when missing.
        private: whether a repository that is made is private.
        revision: branch to upload to; the main one by default.
        message: of the commit.
        terms: licence of the weights for the card, such as "cc-by-nc-4.0"; "other" by default.

    Returns:
        Address of the commit.

    Raises:
        UserError: no model there, huggingface_hub is missing, the hub can't be reached or refuses.
    """
    hub = _hub()
    folder, stem = locate(run)
    task, system = load_model(folder, lambda name: get_system(name).task_class, stem)  # also checks the checksum
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        shutil.copyfile(folder.folder / f"{stem}.safetensors", place / "model.safetensors")
        shutil.copyfile(folder.folder / f"{stem}.json", place / "model.json")
        (place / "README.md").write_text(card_of(folder, task, system, repo, terms, stem), encoding="utf-8")
        with _explained(repo):
            api = hub.HfApi(endpoint=_endpoint())
            api.create_repo(repo, private=private, exist_ok=True)
            if revision is not None:
                api.create_branch(repo, branch=revision, exist_ok=True)
            done: Any = api.upload_folder(
                repo_id=repo,
                folder_path=place,
                revision=revision,
                allow_patterns=list(FILES),
                commit_message=message or f"Upload a {system} model by kinesics",
            )
    return str(done.commit_url)


def pull(repo: str, out: Path, revision: str | None = None) -> Run:
    """Download a model into a folder that `kinesics predict` and `--weights` read.

    Args:
        repo: "owner/name".
        out: folder to make; it must not hold a model.
        revision: branch, tag or commit; pin a commit to get the same bytes for ever.

    Returns:
        The folder as a run; its weights have the checksum that model.json names, and fit its model.

    Raises:
        UserError: `out` is taken, huggingface_hub is missing, the hub can't be reached or has no such model, or the
            files are damaged or no kinesics model; then nothing is left in `out`.
    """
    hub = _hub()
    if (out / "model.json").exists() or (out.exists() and not out.is_dir()):
        raise UserError(
            f"{out} already holds a model" if out.is_dir() else f"{out} is a file", hint="name a new folder"
        )
    with tempfile.TemporaryDirectory() as work:
        with _explained(repo):
            commit = hub.HfApi(endpoint=_endpoint()).model_info(repo, revision=revision).sha
            hub.snapshot_download(
                repo, revision=commit, allow_patterns=list(PULLED), local_dir=work, endpoint=_endpoint()
            )
        got = Run(Path(work))
        if lacking := [name for name in FILES[:2] if not (got.folder / name).is_file()]:
            raise UserError(f"{repo} has no {' and no '.join(lacking)}: it is not a kinesics model")
        told = got.read_json("model.json").get("sha256")
        if sha256_file(got.folder / "model.safetensors") != told:
            raise UserError(
                f"{repo}: model.safetensors does not have the checksum that model.json names",
                hint="pull it again; if it stays so, the repository is damaged",
            )
        load_model(got, lambda name: get_system(name).task_class)
        _keep(got.folder, out, {"repository": repo, "revision": revision, "commit": commit, "sha256": told})
    return Run(out)


def _keep(source: Path, out: Path, origin: dict[str, Any]) -> None:
    """Move the files over, model.json last: a folder that has it is whole."""
    try:
        make_folder(out)
        for name in [name for name in PULLED if name != "model.json"]:
            if (source / name).is_file():
                shutil.copyfile(source / name, out / name)
        Run(out).write_json("origin.json", origin)
        shutil.copyfile(source / "model.json", out / ".model.json.tmp")
        (out / ".model.json.tmp").replace(out / "model.json")
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror}", hint="choose another folder") from error


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            "push and pull need huggingface_hub, which is not installed", hint="pip install 'kinesics[hub]'"
        ) from error
    return huggingface_hub


def _endpoint() -> str:
    """The hub's address, as HF_ENDPOINT says it now."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


@contextlib.contextmanager
def _explained(repo: str) -> Iterator[None]:
    """The hub's errors in our form."""
    from huggingface_hub import errors

    place = _endpoint()
    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(f"{repo!r} is no name of a repository: {_first(error)}", hint="write owner/name") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{repo} at {place} has no such revision", hint="name a branch, tag or commit of it") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"{place} has no repository {repo}, or it is not for you to see",
            hint="check the name; for private ones and for push: hf auth login, or set HF_TOKEN",
        ) from error
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        raise UserError(f"{place} can't be asked for {repo}: {_first(error)}", hint="unset HF_HUB_OFFLINE") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        known = {401: "the token is missing or wrong", 403: "the token may not do that", 409: "there is a conflict"}
        raise UserError(
            f"{place} refuses {repo}: {known.get(status or 0, f'{_first(error)}')} (HTTP {status})",
            hint="hf auth login, or set HF_TOKEN" if status in (401, 403) else "try again later",
        ) from error
    except (OSError, ValueError, json.JSONDecodeError) as error:
        raise UserError(f"{place} answers nothing that can be used: {_first(error)}", hint=_OFFLINE) from error
    except Exception as error:
        # the transport (requests or httpx, by version) has exceptions of its own
        if type(error).__module__.split(".")[0].startswith(("httpx", "httpcore", "requests", "urllib3")):
            raise UserError(f"{place} can't be reached: {_first(error)}", hint=_OFFLINE) from error
        raise


_OFFLINE = "is the network up? HF_ENDPOINT names another hub"


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
