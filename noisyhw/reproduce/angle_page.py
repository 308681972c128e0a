"""The pages of Figures 2, 7 and 8: pictures, tables, and what the paper says beside what was seen."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..characterize.figures import finish, new_figure, save_figure
from ..training.files import write_text
from .alignment import ALL, RULES
from .angle_studies import PAPERS_INPUTS, SYNTHETIC, AngleStudy
from .pages import claims_table, made_by, make_folder, spread, table, write_page
from .verdict import Claim, Verdict, judged

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
    where = "standard normal inputs with random classes" if study.inputs == SYNTHETIC else study.inputs
    setting = (
        f"{study.samples} samples of {where}, {' x '.join(map(str, study.hidden))} hidden units, weights as drawn, "
        f"nothing is learnt; n = {study.seeds} networks and batches; {PRECISIONS[study.precision]}."
    )
    head = [f"# {TITLES[study.name]}", "", f"![angles]({name}.png)", "", setting, ""]
    return write_page(out / f"{name}.md", [*head, *describe(found, study), *made_by(command)])


def lacking(study: AngleStudy) -> list[str]:
    """What keeps a measurement from a final verdict."""
    found = [f"{study.seeds} of {FULL_SEEDS} seeds"] if study.seeds < FULL_SEEDS else []
    papers = PAPERS_INPUTS[study.name]
    return found if study.inputs == papers else [*found, f"on {study.inputs}, where the paper's are {papers}"]


def ordering(found: pd.DataFrame, layer: str, by: str = "iterations") -> dict[int, str]:
    """The rules from the smallest mean angle to the largest, at every number of iterations or passes."""
    chosen = found[found.layer == layer]
    means = chosen.groupby([by, "rule"]).degrees.mean().unstack("rule")
    means = means.dropna()
    return {int(at): " < ".join(means.loc[at].sort_values().index) for at in means.index.to_list()}


def _figure2(found: pd.DataFrame, study: AngleStudy) -> list[str]:
    """The ranking of the rules at every number of iterations, whether the angles shrink, and the same by passes."""
    wanted = " < ".join(RULES)
    first, *others = dict.fromkeys(found.layer)
    claims = [_same(found, first, lacking(study))]
    claims += [_ranking(found, layer, wanted, lacking(study)) for layer in others]
    claims += [_improves(found, rule, lacking(study)) for rule in RULES]
    lines = claims_table(claims)
    lines += _mean_table(found, "iterations", sorted(set(found.iterations)))
    lines += [
        "Means over n (lowest to highest), in degrees, of all weights together; theory: what a linear loss gives for "
        "an unbiased rule, without a free parameter (see `noisyhw/reproduce/alignment.py`). The paper says neither "
        "how many iterations its figure has nor what its synthetic data is. ANP converges to a biased direction, as "
        "the activity differences of a layer are correlated by the weights before it (the paper's Appendices A and "
        "D): averaging more noise brings NP closer to BP, and ANP no more.",
        "",
        *_by_passes(found),
        "By the linear theory inp and np have the same angle at the same number of noisy passes where all layers' "
        "gradients are equally large.",
        "",
    ]
    return lines


def _by_passes(found: pd.DataFrame) -> list[str]:
    """The angles at the numbers of noisy passes that all rules have."""
    by_rule = [set(found[found.rule == rule].noisy_passes) for rule in RULES]
    common = sorted(set.intersection(*by_rule))
    text = (
        "Figure 7, the same against noisy passes: one an iteration for np and anp, one a layer and iteration for inp "
        "(the picture's lower row). The paper's text claims no order there."
    )
    return [text, "", *_mean_table(found, "noisy_passes", common)] if common else []


def _ranking(found: pd.DataFrame, layer: str, wanted: str, lacks: Sequence[str]) -> Claim:
    orders = ordering(found, layer)
    seen = "; ".join(
        f"{order} at {', '.join(str(at) for at, found_order in orders.items() if found_order == order)}"
        for order in dict.fromkeys(orders.values())
    )
    by_seed = [one for _, own in found.groupby("seed") for one in ordering(own, layer).values()]
    seen += f" ({by_seed.count(wanted)} of {len(by_seed)} counts and seeds have the paper's order)"
    text = f"{layer}: {wanted} (here: mean angle, at each of {', '.join(map(str, orders))} iterations)"
    return Claim(text, seen, _order_verdict(orders, wanted, lacks))


def _order_verdict(orders: dict[int, str], wanted: str, lacks: Sequence[str]) -> Verdict:
    """An order that ends where more iterations are averaged is told as far as it goes."""
    verdict = judged(set(orders.values()) == {wanted}, lacks)
    held = list(itertools.takewhile(lambda at: orders[at] == wanted, sorted(orders)))
    if verdict.why or not held or len(held) == len(orders):
        return verdict
    return Verdict(verdict.word, f"holds up to {held[-1]}")


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
    heads = (f"{value:.0e}" if by == "variance" else str(value) for value in at)
    return table([by.replace("_", " "), *heads], rows)


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
