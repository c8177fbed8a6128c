"""Draw faces with known truth, train LDLVA on them, answer for one of them and draw the answer.

python examples/train_and_predict.py --out runs/first
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

import kinesics
from kinesics.data.synthetic.faces import write_faces


def main() -> None:
    """Draw, train, judge, predict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/first"), help="folder for faces, run and picture")
    parser.add_argument("--n-train", type=int, default=2000, help="training faces")
    parser.add_argument("--epochs", type=int, default=8)
    given = parser.parse_args()

    # With your own images, this line is: kinesics data convert --layout image-folder FOLDER manifest.csv
    manifest = write_faces(given.out / "faces", given.n_train, given.n_train // 5, given.n_train // 5, seed=0)

    run = kinesics.train("ldlva", data=manifest, out=given.out / "run", fit__epochs=given.epochs)
    judged = kinesics.evaluate(run.folder, manifest)
    print(f"accuracy {judged.metrics['accuracy']:.3f}, KL to the true mixtures {judged.metrics['kl_calibrated']:.3f}")

    predictor = kinesics.load(run.folder)
    face = given.out / "faces" / "test" / "000000.png"
    answer = predictor(face)[0]
    print(f"{answer.label}, confidence {answer.confidence:.2f}, uncertainty {answer.uncertainty:.2f}")
    for name, share in answer.distribution.items():
        print(f"  {name:<10} {share:.3f}")
    answer.draw(Image.open(face).resize((192, 192))).save(given.out / "answer.png")
    print(given.out / "answer.png")


if __name__ == "__main__":
    main()
