"""The pages of Figures 2, 7 and 8: pictures, tables, and what the paper says beside what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..characterize.figures import finish, new_figure, save_figure
from ..training.files import write_text
from .alignment import ALL, RULES
from .angle_studies import SYNTHETIC, AngleStudy
from .pages import claims_table, made_by, make_folder, spread, table, write_page
from .verdict import Claim, judged

TITLES = {
    "figure2": "Figures 2 and 7: angle to BP's update, against noise iterations and noisy passes",
    "figure8": "Figure 8: angle to BP's update against the perturbation's variance, second hidden layer",
}
PRECISIONS = {
    "float32": "float32",
    "tf32": "operands of matrix products rounded to TF32 (10 bits), sums in float32",
}
FULL_SEEDS = 3
FLAT = (1e-6, 1e-4)
"""Between these variances the paper finds the angle stable."""
STEADY_DEGREES = 1.0
"""A change of the mean angle below this counts as none."""
LAYER = "hidden 2"
"""The layer of the paper's Figure 8."""


def write_angles(study: AngleStudy, found: pd.DataFrame, out: Path, command: str) -> Path:
    """Write all angles as CSV, the picture as PNG and SVG, and the page."""
    make_folder(out)
    name = study.page
    write_text(out / f"{name}.csv", found.round({"degrees": 4, "expected": 4}).to_csv(index=False))
    draw, describe = (_draw_variance, _figure8) if study.name == "figure8" else (_draw_iterations, _figure2)
    figure = draw(found)
    for kind in ("png", "svg"):
        save_figure(figure, out / f"{name}.{kind}")
    where = "standard normal inputs, random classes" if study.task == SYNTHETIC else study.task
    setting = (
        f"{study.samples} samples of {where}, {' x '.join(map(str, study.hidden))} hidden units, weights as drawn, "
        f"nothing is learnt; n = {study.seeds} networks and batches; {PRECISIONS[study.precision]}."
    )
    head = [f"# {TITLES[study.name]}", "", f"![angles]({name}.png)", "", setting, ""]
    return write_page(out / f"{name}.md", [*head, *describe(found, study), *made_by(command)])


def lacking(study: AngleStudy) -> list[str]:
    """What keeps a measurement from a final verdict."""
    return [f"{study.seeds} of {FULL_SEEDS} seeds"] if study.seeds < FULL_SEEDS else []


def ordering(found: pd.DataFrame, layer: str, by: str = "iterations") -> dict[int, str]:
    """The rules from the smallest mean angle to the largest, at every number of iterations or passes."""
    chosen = found[found.layer == layer]
    means = chosen.groupby([by, "rule"]).degrees.mean().unstack("rule")
    means = means.dropna()
    return {int(at): " < ".join(means.loc[at].sort_values().index) for at in means.index.to_list()}


def _figure2(found: pd.DataFrame, study: AngleStudy) -> list[str]:
    """The ranking of the rules at every number of iterations, and whether the angles shrink."""
    wanted = " < ".join(RULES)
    first, *others = dict.fromkeys(found.layer)
    claims = [_same(found, first, lacking(study))]
    claims += [_ranking(found, layer, wanted, lacking(study)) for layer in others]
    claims += [_improves(found, rule, lacking(study)) for rule in RULES]
    lines = claims_table(claims)
    lines += _mean_table(found, "iterations", sorted(set(found.iterations)))
    lines += [
        "Means over n (lowest to highest), in degrees, of all weights together; theory: what a linear loss gives for "
        "an unbiased rule, without a free parameter (see `noisyhw/reproduce/alignment.py`). ANP converges to a biased "
        "direction, as the activity differences of a layer are correlated by the weights before it (the paper's "
        "Appendices A and D): averaging more noise brings NP below it, and not ANP on.",
        "",
        "Noisy passes: one an iteration for np and anp, one a layer and iteration for inp (the picture's lower row). "
        "By the linear theory inp and np have the same angle at the same number of noisy passes where all layers' "
        "gradients are equally large.",
        "",
    ]
    return lines


def _ranking(found: pd.DataFrame, layer: str, wanted: str, lacks: Sequence[str]) -> Claim:
    orders = ordering(found, layer)
    seen = "; ".join(
        f"{order} at {', '.join(str(at) for at, found_order in orders.items() if found_order == order)}"
        for order in dict.fromkeys(orders.values())
    )
    holds = set(orders.values()) == {wanted}
    return Claim(f"{layer}: {wanted} at every number of iterations", seen, judged(holds, lacks))


def _same(found: pd.DataFrame, layer: str, lacks: Sequence[str]) -> Claim:
    chosen = found[found.layer == layer]
    means = chosen.groupby(["iterations", "rule"]).degrees.mean().unstack("rule")
    apart = float((means["anp"] - means["np"]).abs().max())
    seen = f"at most {apart:.2f} degrees apart"
    return Claim(f"{layer}: np and anp are identical", seen, judged(apart < STEADY_DEGREES, lacks))


def _improves(found: pd.DataFrame, rule: str, lacks: Sequence[str]) -> Claim:
    chosen = found[(found.rule == rule) & (found.layer == ALL)]
    means = chosen.groupby("iterations").degrees.mean()
    seen = f"{means.iloc[0]:.1f} to {means.iloc[-1]:.1f} degrees"
    return Claim(
        f"{rule}: the angle shrinks with more iterations",
        seen,
        judged(bool(means.is_monotonic_decreasing), lacks),
    )


def _mean_table(found: pd.DataFrame, by: str, at: Sequence[Any], layer: str = ALL) -> list[str]:
    chosen = found[found.layer == layer]
    rows = []
    for rule in RULES:
        own = chosen[chosen.rule == rule]
        rows.append([rule, *(spread(list(own[own[by] == value].degrees)) for value in at)])
        theory = own.groupby(by).expected.mean()
        if own.expected.notna().any():
            rows.append([f"{rule}, theory", *(f"{theory.loc[value]:.1f}" for value in at)])
    return table([by, *(f"{value:.0e}" if by == "variance" else str(value) for value in at)], rows)


def _figure8(found: pd.DataFrame, study: AngleStudy) -> list[str]:
    """Where the angle is stable, and whether it grows beyond."""
    claims = [claim for rule in RULES for claim in _variance_claims(found, rule, lacking(study))]
    lines = claims_table(claims)
    lines += _mean_table(found, "variance", sorted(set(found.variance)), LAYER)
    return [
        *lines,
        f"Means over n (lowest to highest), in degrees, after {study.iterations[-1]} noise iterations (the paper does "
        f"not say how many). All variances see the same draws. Stable: the mean angle changes by "
        f"less than {STEADY_DEGREES:g} degree; larger: by more than that over the largest of the stable range, at the "
        "end of the measured range. What happens below 1e-7 hangs on the precision of the matrix products: compare "
        "`figure8` with `figure8 --precision tf32`.",
        "",
    ]


def _variance_claims(found: pd.DataFrame, rule: str, lacks: Sequence[str]) -> list[Claim]:
    chosen = found[(found.rule == rule) & (found.layer == LAYER)]
    means = chosen.groupby("variance").degrees.mean()
    flat = means[(means.index >= FLAT[0] * 0.99) & (means.index <= FLAT[1] * 1.01)]
    low, high = float(flat.min()), float(flat.max())
    ends = [
        ("below 1e-7", float(means.index.min()), float(means.iloc[0])),
        ("above 1e-3", float(means.index.max()), float(means.iloc[-1])),
    ]
    first = Claim(
        f"{rule}: stable from 1e-6 to 1e-4",
        f"{low:.1f} to {high:.1f}",
        judged(high - low < STEADY_DEGREES, lacks),
    )
    return [first] + [
        Claim(f"{rule}: larger {name}", f"{mean:.1f} at {at:g}", judged(mean > high + STEADY_DEGREES, lacks))
        for name, at, mean in ends
    ]


def _draw_iterations(found: pd.DataFrame) -> Any:
    layers = list(dict.fromkeys(found.layer))
    figure, grid = new_figure(2, len(layers))
    for row, by in enumerate(("iterations", "noisy_passes")):
        for axes, layer in zip(grid[row * len(layers) :], layers, strict=False):
            _draw_rules(axes, found[found.layer == layer], by)
            axes.set(
                xscale="log",
                xlabel=by.replace("_", " "),
                ylabel="angle to BP's update (degrees)",
                ylim=(0, 95),
            )
            finish(axes, "all weights" if layer == ALL else layer)
    return figure


def _draw_variance(found: pd.DataFrame) -> Any:
    figure, (axes,) = new_figure(1, 1)
    _draw_rules(axes, found[found.layer == LAYER], "variance")
    axes.set(xscale="log", xlabel="variance of the perturbation", ylabel="angle to BP's update (degrees)")
    finish(axes, LAYER)
    return figure


def _draw_rules(axes: Any, found: pd.DataFrame, by: str) -> None:
    for rule in RULES:
        groups = found[found.rule == rule].groupby(by)
        means = groups.degrees.mean()
        [line] = axes.plot(means.index, means, marker="o", markersize=3, label=rule)
        colour = line.get_color()
        axes.fill_between(
            means.index, groups.degrees.min(), groups.degrees.max(), alpha=0.2, color=colour, lw=0
        )
        theory = groups.expected.mean().dropna()
        if len(theory):
            axes.plot(theory.index, theory, ls=":", color=colour, label=f"{rule}, linear theory")
