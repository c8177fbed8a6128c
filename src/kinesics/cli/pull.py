"""kinesics pull: download a model from a Hugging Face hub into a folder to predict with and to train from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser

EPILOG = """The weights must have the checksum that model.json names. --revision pins a branch, tag or commit; the
commit that was got is kept in origin.json. HF_ENDPOINT names another hub than huggingface.co."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics pull", description=__doc__, epilog=EPILOG)
    parser.add_argument("repo", help="owner/name")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--revision", help="branch, tag or commit (default: the main branch)")
    given = parser.parse_args(list(argv))
    from kinesics.inference.hub import pull

    run = pull(given.repo, given.out, given.revision)
    print(f"{run.folder}: commit {run.read_json('origin.json')['commit']}; kinesics predict {run.folder} IMAGES...")
    return 0
