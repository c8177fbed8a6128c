"""kinesics doctor: print the environment and what is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from kinesics.cli.arguments import Parser

OPTIONAL = {
    "pyarrow": ("Parquet manifests", "kinesics[parquet]"),
    "networkx": ("designing federations", "kinesics[federated]"),
    "dlib": ("finding faces", "kinesics[vision]"),
    "cv2": ("finding faces, cameras", "kinesics[vision]"),
    "av": ("reading and writing videos", "kinesics[vision]"),
}
"""Module -> what it is for and which extra has it."""


def main(argv: Sequence[str]) -> int:
    """Run the verb."""
    parser = Parser(prog="kinesics doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print as JSON")
    given = parser.parse_args(list(argv))
    import torch

    from kinesics.cli.tables import print_table
    from kinesics.engine.device import has_fast_bf16
    from kinesics.engine.run import environment
    from kinesics.engine.transfer import shipped_models
    from kinesics.files import cache_folder
    from kinesics.systems import SYSTEMS

    content = environment()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    content["bf16"] = has_fast_bf16(device)
    content["cache"] = str(cache_folder())
    place = next(p for p in [cache_folder(), *cache_folder().parents] if p.exists())
    content["free_gib"] = round(shutil.disk_usage(place).free / 2**30, 1)
    content["systems"] = list(SYSTEMS)
    content["shipped_models"] = sorted(shipped_models())
    missing = [name for name in OPTIONAL if importlib.util.find_spec(name) is None]
    content["missing"] = missing
    if given.json:
        print(json.dumps(content, indent=2))
        return 0
    rows = [
        ["kinesics", f"{content['kinesics']} (commit {content['git_commit'] or 'unknown'})"],
        ["python", content["python"]],
        *[[name, version or "missing"] for name, version in content["packages"].items()],
        ["processor", f"{content['machine']['processor']}, {content['machine']['cores']} cores"],
        ["gpu", content["machine"]["gpu"] or "none: training runs on the CPU"],
        [
            "bf16",
            "multiplied by the hardware: --fit.precision auto uses it" if content["bf16"] else "not fast: fp32 is used",
        ],
        ["cache", f"{content['cache']} ({content['free_gib']} GiB free)"],
        ["systems", ", ".join(content["systems"])],
        ["shipped models", ", ".join(content["shipped_models"]) or "none"],
    ]
    print_table("environment", ["what", "found"], rows)
    for name in missing:
        purpose, extra = OPTIONAL[name]
        print(f"missing: {name}, for {purpose}; pip install '{extra}'")
    if content["free_gib"] < 1:
        print(f"low disk space beside {Path(content['cache'])}: decoded images are kept there")
    if not missing:
        print("nothing is missing")
    return 0
