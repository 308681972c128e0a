"""What ``noisyhw reproduce`` does: train or measure what is missing, and write the page."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from ..errors import UsageError, choose
from ..tasks import get_task
from ..training.run import Interrupted
from .alignment import Precision
from .angle_page import write_angles
from .angle_studies import STUDIES, AngleStudy, run_angles
from .carry_out import carry_out, checked_epochs
from .outcome import Outcome, outcomes
from .paper import Study, get_study, studies
from .plan import cells
from .study_page import write_study
from .trained import Sitting, WatcherFactory


@dataclass(frozen=True)
class Request:
    """The command's options; see its help."""

    experiment: str
    _: KW_ONLY
    nets: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    seeds: int | None = None
    epochs: int | None = None
    variant: str | None = None
    iterations: tuple[str, ...] = ()
    inputs: str | None = None
    precision: Precision = "float32"
    data_dir: Path | None = None
    runs: Path = Path("runs/reproduce")
    out: Path = Path("reports")
    page_only: bool = False

    @property
    def command(self) -> str:
        """What makes it, training included, from nothing; the data folder is the reader's own."""
        words = ["noisyhw", "reproduce", self.experiment]
        for flag, value in (
            ("--variant", self.variant),
            ("--nets", ",".join(self.nets)),
            ("--rows", ",".join(self.rows)),
            ("--iterations", ",".join(self.iterations)),
            ("--inputs", self.inputs),
            ("--seeds", None if self.seeds is None else str(self.seeds)),
            ("--precision", None if self.precision == "float32" else self.precision),
            ("--epochs", None if self.epochs is None else str(self.epochs)),
            ("--data-dir", "DATA" if self.data_dir else None),
        ):
            words += [flag, value] if value else []
        return shlex.join(words)


def reproduce(request: Request, tell: Callable[[str], None], watching: WatcherFactory) -> Path:
    """Repeat an experiment and return the page's path.

    Args:
        request: what is asked for.
        tell: is told how it goes.
        watching: makes a watcher for a run.

    Raises:
        UsageError: an unknown name, or an option that means nothing here.
        Interrupted: asked to stop; runs are saved, and the page is written.
    """
    known = [*studies(), *STUDIES]
    if request.experiment not in known:
        raise UsageError(choose("experiment", request.experiment, known))
    if request.experiment in STUDIES:
        return _angles(request, tell)
    return _study(request, tell, watching)


def _study(request: Request, tell: Callable[[str], None], watching: WatcherFactory) -> Path:
    _refuse(request, "table or SARCOS", iterations=request.iterations, inputs=request.inputs)
    _refuse(request, "table or SARCOS", precision=request.precision != "float32")
    study = get_study(request.experiment)
    variant = request.variant or study.default_variant
    chosen = cells(study, variant, request.nets, request.rows)
    epochs = checked_epochs(study, request.epochs)
    try:
        if not request.page_only:
            seeds = request.seeds or study.seeds
            carry_out(chosen, seeds, epochs, Sitting(request.runs, request.data_dir, tell, watching))
    except Interrupted:
        tell(f"page: {_page(study, variant, request)}")
        raise Interrupted("stopped and saved; the same command goes on") from None
    return _page(study, variant, request)


def _page(study: Study, variant: str, request: Request) -> Path:
    found = all_outcomes(study, variant, request.runs, request.seeds or 1)
    here = get_task(study.task).found(request.data_dir) is not None
    return write_study(study, variant, found, request.out, request.command, here)


def all_outcomes(study: Study, variant: str, runs: Path, seeds: int) -> list[Outcome]:
    """Every cell of a variant, run or not."""
    return outcomes(cells(study, variant), runs, max(seeds, study.seeds))


def _angles(request: Request, tell: Callable[[str], None]) -> Path:
    _refuse(
        request,
        "figure of angles",
        nets=request.nets,
        rows=request.rows,
        epochs=request.epochs,
        variant=request.variant,
        page_only=request.page_only,
    )
    study = STUDIES[request.experiment]
    study = replace(study, seeds=request.seeds or study.seeds, precision=request.precision)
    if request.iterations:
        study = replace(study, iterations=_iterations(request.iterations))
    if request.inputs:
        study = replace(study, inputs=request.inputs)
    found = run_angles(study, request.runs / study.name, request.data_dir, tell)
    return write_angles(study, found, request.out, request.command)


def _iterations(given: tuple[str, ...]) -> tuple[int, ...]:
    if not all(text.isdecimal() and int(text) > 0 for text in given):
        raise UsageError(f"--iterations: give numbers from 1 on, e.g. 1,10,100, got '{','.join(given)}'")
    return tuple(sorted({int(text) for text in given}))


def _refuse(request: Request, kind: str, **given: object) -> None:
    for name, value in given.items():
        if value:
            flag = name.replace("_", "-")
            raise UsageError(
                f"--{flag}: {request.experiment} is a {kind} and has no such thing; leave it out"
            )


def tell_all(runs: Path) -> Iterator[str]:
    """All experiments: what each is, and how far it is."""
    for study in studies().values():
        yield f"{study.name:8} {study.title} ({study.source})"
        for variant, about in study.variants.items():
            found = all_outcomes(study, variant, runs, study.seeds)
            counts = Counter(item.verdict().word.value for item in found)
            state = ", ".join(f"{number} {word}" for word, number in counts.items())
            yield f"         variant {variant}: {about.note}"
            yield f"         {len(found)} cells, {study.seeds} seeds, {study.epochs} epochs: {state}"
        for net, content in study.nets.items():
            yield f"         --nets {net}: --rows {','.join(content.rows)}"
    for angles in STUDIES.values():
        yield from _tell_angles(angles, runs)


def _tell_angles(study: AngleStudy, runs: Path) -> Iterator[str]:
    what = "Figure 8" if study.name == "figure8" else "Figures 2 and 7"
    parts = len(list((runs / study.name).glob("*.csv")))
    yield f"{study.name:8} Angle between a rule's update and BP's ({what})"
    state = f"{parts} measured parts kept" if parts else "not run yet"
    yield f"         3 rules, {study.seeds} seeds: {state}"
