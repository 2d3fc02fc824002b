"""Compare campaigns of the same objectives: curves, a table, and the molecules that they share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from molvae._files import HTML_ENDINGS, Kind, check_output, replacing
from molvae.analysis.hypervolume import hypervolume_trace, reference_point
from molvae.analysis.pictures import PAGE, Picture, new_axes
from molvae.analysis.style import printable
from molvae.analysis.summary import CampaignSummary, goodness, number, summarize
from molvae.campaign.proposal_check import full_check
from molvae.errors import CampaignError, ConfigError, InvalidMoleculeError, require

if TYPE_CHECKING:
    import pandas as pd

COMPARISON = Kind(
    name="a comparison", stamp="comparison", error=CampaignError, endings=HTML_ENDINGS
)
N_BEST = 10  # best molecules of which the mean, and the share without findings, are taken
MAX_DRAWN = 48  # shared molecules that are drawn, at most
DRAWING_PIXELS = (240, 170)  # pixels of a drawn molecule


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several campaigns, side by side."""

    names: tuple[str, ...]
    """Names of the campaigns: paths of their files without the parts that all have."""
    campaigns: tuple[CampaignSummary, ...]
    curves: tuple[list[float], ...]
    """Best feasible value or score, or the hypervolume, after each evaluation."""
    table: pd.DataFrame
    shared: pd.DataFrame
    """Molecules that several campaigns have: smiles, and a column with the value of each."""


def compare_campaigns(paths: Sequence[str | Path]) -> Comparison:
    """Read campaigns and compare them.

    Args:
        paths: Two campaign files or more, of the same objectives and constraints.

    Raises:
        CampaignError: A file cannot be read, or its objectives are others.
        ConfigError: Fewer than two files, or one of them twice.
    """
    import pandas as pd

    from molvae.campaign.campaign import Campaign

    require(len(paths) > 1, "give two campaign files or more")
    files = [Path(path).resolve() for path in paths]
    if twice := next(
        (p for p, file in zip(paths, files, strict=True) if files.count(file) > 1), ""
    ):
        raise ConfigError(f"{twice} is there twice; give each campaign file once")
    names = [Path(path).name for path in paths]
    if len({*names}) < len(names):
        names = [str(path) for path in paths]
    found, faultless = list[CampaignSummary](), list[float]()
    for path in paths:
        with Campaign.open(path) as campaign:
            found.append(summarize(campaign))
            if str(found[-1].problem) != str(found[0].problem):
                raise CampaignError(
                    f"{path} is about {found[-1].problem}, and {paths[0]} about "
                    f"{found[0].problem}: campaigns are compared that have the same objectives"
                )
            faultless.append(_faultless(campaign, found[-1]))
    evaluated = [{row.trial.smiles for row in one.calls} for one in found]  # failures as well
    times = Counter(smiles for molecules in evaluated for smiles in molecules)
    both = {smiles for smiles, n in times.items() if n > 1}
    curves = _curves(found)
    rows = []
    for name, one, curve, share, molecules in zip(
        names, found, curves, faultless, evaluated, strict=True
    ):
        starts = one.progress.starts
        top = [row.score for row in one.ranked if row.is_feasible][:N_BEST]
        rows.append(
            {
                "campaign": name,
                "evaluations": len(one.calls),
                "best": curve[-1] if curve else math.nan,
                "best_initial": curve[starts - 1] if starts else math.nan,
                f"mean_top{N_BEST}": float(np.mean(top)) if top else math.nan,
                "no_findings": share,
                "failed": len(one.failures),
                "shared": len(molecules & both),
            }
        )
    values = [{row.trial.smiles: row.score for row in one.ranked} for one in found]
    best = [s for one in found for s in (row.trial.smiles for row in one.ranked) if s in both]
    shared = [[s, *(of.get(s, math.nan) for of in values)] for s in dict.fromkeys(best)]
    return Comparison(
        names=tuple(names),
        campaigns=tuple(found),
        curves=tuple(curves),
        table=pd.DataFrame(rows),
        shared=pd.DataFrame(shared, columns=["smiles", *names]),
    )


def _faultless(campaign: object, found: CampaignSummary) -> float:
    """Share of the best molecules without findings."""
    check = full_check(campaign.config, campaign.trials)  # type: ignore[attr-defined]
    best = [row.trial.smiles for row in found.ranked[:N_BEST]]
    if check is None or not best:
        return math.nan
    try:
        return sum(not check.findings(smiles) for smiles in best) / len(best)
    except InvalidMoleculeError:  # a file that was not written by molvae
        return math.nan


def _curves(found: Sequence[CampaignSummary]) -> list[list[float]]:
    """Progress of each campaign; hypervolumes have one reference point."""
    if found[0].kind != "front":
        return [one.progress.best for one in found]
    problem, columns, done = found[0].problem, [], []
    for one in found:
        values = np.array([[row.value(name) for name in problem.names] for row in one.calls])
        feasible = np.array([row.place is not None and row.is_feasible for row in one.calls])
        scaled = problem.columns(values.reshape(len(one.calls), len(problem.names)))
        done.append(scaled[[row.place is not None for row in one.calls]])
        scaled[~feasible.astype(bool)] = math.nan
        columns.append(scaled)
    together = np.concatenate(done)
    if not len(together):
        return [[0.0] * len(one.calls) for one in found]
    reference = reference_point(problem, together)
    return [hypervolume_trace(one, reference).tolist() for one in columns]


def write_comparison(
    found: Comparison,
    out: str | Path,
    *,
    overwrite: bool = False,
    apart_from: Iterable[str | Path] = (),
) -> Path:
    """Write a comparison as one HTML file.

    Args:
        found: See `compare_campaigns`.
        out: The file.
        overwrite: Replace an earlier comparison.
        apart_from: Other files of the same command.

    Raises:
        CampaignError: The file exists, or cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from molvae.chem.depiction import picture

    check_output(out, COMPARISON, overwrite=overwrite, apart_from=apart_from)
    environment = Environment(
        loader=PackageLoader("molvae"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    html = environment.get_template("comparison.html").render(
        found=found,
        problem=found.campaigns[0].problem,
        curves=_picture(found),
        rows=found.table.to_dict("records"),
        shared=[
            (
                row["smiles"],
                picture(row["smiles"], size=DRAWING_PIXELS),
                [row[name] for name in found.names],
            )
            for row in found.shared.head(MAX_DRAWN).to_dict("records")
        ],
        written=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
    )
    with replacing(out, COMPARISON, overwrite=overwrite, apart_from=apart_from) as draft:
        draft.write_text(html, encoding="utf-8")
    return Path(out)


def _picture(found: Comparison) -> Picture:
    """The curves of all campaigns."""
    from molvae.analysis.style import COLORS

    first = found.campaigns[0]
    what = {
        "value": f"best {first.problem.objectives[0].name}",
        "score": "best score",
        "front": "hypervolume",
    }[first.kind]
    good = goodness(first.problem.objectives[0]) if first.kind == "value" else "larger is better"
    with new_axes("curves", PAGE, (9, 4)) as (figure, axes):
        for name, curve, color in zip(found.names, found.curves, cycle(COLORS), strict=False):
            calls = np.arange(1, len(curve) + 1)
            axes.step(calls, curve, where="post", color=color, linewidth=2, label=printable(name))
        axes.set_xlabel("evaluations")
        axes.set_ylabel(printable(f"{what} ({good})"), parse_math=False)
        axes.legend()
    caption = f"The {what} so far after each evaluation of each campaign."
    return Picture(name="curves", title=what, caption=caption, figure=figure, hints={}, wide=True)
