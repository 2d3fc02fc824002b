"""Everything in a minute: data, model, measures, campaign, report.

For CI, and as an example of the Python API:

python pipelines/smoke.py [pipelines/smoke.toml [runs/smoke]]
"""

from __future__ import annotations

import sys
from pathlib import Path

import molvae
from molvae.analysis.model_metrics import evaluate
from molvae.analysis.report import write_report
from molvae.chem.datasets import sample_molecules
from molvae.chem.prepare import load_split, prepare
from molvae.config import PrepareConfig, build, read_toml
from molvae.latent.train import train
from molvae.model.config import TrainConfig


def smoke(recipe: Path, out: Path) -> Path:
    """Run the recipe in a new folder; the report's path."""
    settings = read_toml(recipe)
    out.mkdir(parents=True)

    source = settings["data"]
    molecules = sample_molecules(source["source"], source["molecules"], source["seed"])
    (out / "molecules.smi").write_text("\n".join(molecules) + "\n")
    print(prepare(out / "molecules.smi", out / "data", config=PrepareConfig()))

    paths = {"data": str(out / "data"), "out": str(out / "run")}
    run = train(build(TrainConfig, settings["train"] | paths, str(recipe)))

    space = molvae.load(run)
    training = load_split(out / "data", "train")
    held_out = load_split(out / "data", "test")
    for name, value in evaluate(space, held_out, training=training, **settings["evaluate"]).items():
        print(f"{name:26}{value:.4g}")

    campaign = dict(settings["campaign"])
    budget = campaign.pop("budget")
    with molvae.Campaign.create(out / "campaign.db", space, **campaign) as c:
        c.run(budget)
        print(c.best(5)[["id", "smiles", c.name]].to_string(index=False))
        return write_report(c, out / "report.html")


if __name__ == "__main__":  # spawned worker processes import this file
    here = Path(__file__).parent
    given = [Path(word) for word in sys.argv[1:]]
    defaults = [here / "smoke.toml", here.parent / "runs" / "smoke"]
    print(smoke(*given, *defaults[len(given) :]))
