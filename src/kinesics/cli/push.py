"""kinesics push: upload a run's model to a Hugging Face hub, with a card that says what it is."""

from __future__ import annotations

from collections.abc import Sequence

from kinesics.cli.arguments import Parser

EPILOG = """Uploaded are model.safetensors, model.json and a generated README.md; never data, predictions or samples.
HF_ENDPOINT names another hub than huggingface.co; the token is HF_TOKEN's or the one of `hf auth login`."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics push", description=__doc__, epilog=EPILOG)
    parser.add_argument("run", help="run directory or the name of a shipped model")
    parser.add_argument("repo", help="owner/name; made when missing")
    parser.add_argument("--private", action="store_true", help="a repository that is made is private")
    parser.add_argument("--revision", help="branch to upload to (default: main)")
    parser.add_argument("--message", help="of the commit")
    parser.add_argument("--license", metavar="NAME", help="of the weights, for the card, such as cc-by-nc-4.0")
    parser.add_argument("--card", action="store_true", help="print the card and upload nothing")
    given = parser.parse_args(list(argv))
    if given.card:
        from kinesics.inference.model_card import card_of
        from kinesics.inference.predictor import load, locate

        predictor = load(given.run)
        folder, stem = locate(given.run)
        print(card_of(folder, predictor.task, predictor.system, given.repo, given.license, stem), end="")
        return 0
    from kinesics.inference.hub import push

    print(push(given.run, given.repo, given.private, given.revision, given.message, given.license))
    return 0
