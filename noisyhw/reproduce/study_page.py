"""The page of a table: the paper's numbers, ours, the difference and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from .claims import figure5_claims
from .drawing import draw_study
from .outcome import Outcome
from .pages import claims_table, made_by, make_folder, spread, table, write_page
from .paper import Study
from .verdict import Verdict, Word

HEADS = {
    "accuracy": "peak accuracy (%)",
    "loss": "final loss",
}


def page_name(study: Study, variant: str) -> str:
    """The name of a study's page and pictures; the first variant's goes without the variant."""
    return study.name if variant == study.default_variant else f"{study.name}-{variant}"


def write_study(
    study: Study, variant: str, outcomes: Sequence[Outcome], out: Path, command: str, data: bool
) -> Path:
    """Write a study's page and its learning curves.

    Args:
        study: what is compared.
        variant: the reading of it.
        outcomes: all cells of the variant, run or not.
        out: the folder for the page.
        command: what made it.
        data: whether the data is here; tells why something has not run.
    """
    make_folder(out)
    name = page_name(study, variant)
    drawn = draw_study(outcomes, out / name)
    lines = [
        f"# {study.title}",
        "",
        f"Source: {study.source}. Variant `{variant}`: {study.variants[variant].note}.",
        "",
    ]
    lines += [f"![learning curves]({name}.png)", ""] if drawn else []
    if study.name == "figure5":
        lines += claims_table(figure5_claims(outcomes))
    lines += [f"{summary(study, outcomes)}.", ""] if has_numbers(study) else []
    lines += table(*_rows(study, outcomes, data))
    lines += [*_how_judged(study), *(f"- {note}" for note in (*study.notes, *_run_notes(outcomes))), ""]
    return write_page(out / f"{name}.md", [*lines, *made_by(command)])


def has_numbers(study: Study) -> bool:
    """Whether the paper gives numbers for this study."""
    return any(row.test is not None for net in study.nets.values() for row in net.rows.values())


def summary(study: Study, outcomes: Sequence[Outcome]) -> str:
    """How many cells have which verdict."""
    counts = Counter(item.verdict().word for item in outcomes)
    return f"Of {len(outcomes)} cells: " + ", ".join(
        f"{counts[word]} {word.value}" for word in Word if counts[word]
    )


def _rows(study: Study, outcomes: Sequence[Outcome], data: bool) -> tuple[list[str], list[list[str]]]:
    kinds = [kind for kind in ("train", "test") if study.metric == "accuracy" or kind == "test"]
    what = HEADS[study.metric]
    heads = ["net", "row", "learning rate", "n", "epochs"]
    for kind in kinds:
        heads += [f"paper, {kind}", f"ours, {kind} {what}: mean (low to high)", "difference"]
    return [*heads, "verdict"], [_row(study, item, kinds, data) for item in outcomes]


def _row(study: Study, item: Outcome, kinds: Sequence[str], data: bool) -> list[str]:
    rate = "to be found" if item.rate is None else f"{item.rate:.3g}"
    epochs = f"{item.epochs} of {study.epochs}" if item.runs else "-"
    line = [item.cell.net_name, item.cell.row_name, rate, str(len(item.tables) or "-"), epochs]
    for kind in kinds:
        line += _numbers(
            getattr(item.cell.row, kind), item.values(kind), 1 if study.metric == "accuracy" else 2
        )
    return [*line, _told(study, item, data)]


def _numbers(paper: float | None, ours: Sequence[float], digits: int) -> list[str]:
    shown = "-" if paper is None else f"{paper:.{digits}f}"
    if not ours:
        return [shown, "-", "-"]
    difference = "-" if paper is None else f"{sum(ours) / len(ours) - paper:+.{digits}f}"
    return [shown, spread(ours, digits), difference]


def _told(study: Study, item: Outcome, data: bool) -> str:
    verdict = item.verdict()
    if verdict.word is Word.NOT_RUN:
        why = "nobody has started it" if data else f"the data of task {study.task} is not here"
        return str(Verdict(Word.NOT_RUN, why))
    if not has_numbers(study):
        lost = [f"{item.diverged} of {len(item.runs)} seeds diverged"] if item.diverged else []
        return ", ".join([*item.lacking, *lost]) or "complete"
    return str(verdict)


def _how_judged(study: Study) -> list[str]:
    if not has_numbers(study):
        return ["n is the number of seeds; the epochs that all of them have are compared.", ""]
    accuracy = study.metric == "accuracy"
    numbers = "numbers (train and test) lie" if accuracy else "number lies"
    lines = [
        "n is the number of seeds; low and high are the lowest and highest of them, over the epochs that all have (a "
        "seed that diverged: those that it has). "
        f"Reproduced: the paper's {numbers} between our lowest and highest, each widened by "
        f"{study.tolerance:g}{' points' if accuracy else ''}, and ours are of {study.seeds} seeds and {study.epochs} "
        "epochs, none of which diverged. Fewer seeds, epochs or data: partial, "
        "whatever the numbers.",
    ]
    if accuracy:
        lines.append(
            "Training figures are running means over an epoch while it learns; peaks are chosen on the test data, as "
            "the paper's are."
        )
    return [*lines, ""]


def _run_notes(outcomes: Sequence[Outcome]) -> list[str]:
    runs = [run for item in outcomes for run in item.runs.values()]
    notes = dict.fromkeys(note for run in runs for note in run.record["notes"])
    diverged = [f"{run.path.name} diverged: {run.reason}." for run in runs if run.status == "diverged"]
    return [*notes, *diverged]
