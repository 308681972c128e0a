"""`noisyhw reproduce`: a small study from the first run to the page, in several sittings; verdicts and refusals."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli_support import Call, Said, said_by
from matplotlib.figure import Figure
from run_support import assert_same_end

import noisyhw
from noisyhw.cards import load_experiment
from noisyhw.cards.shipped import shipped_experiments
from noisyhw.reproduce import paper, rates, trained
from noisyhw.reproduce.claims import figure5_claims
from noisyhw.reproduce.drawing import draw_bands
from noisyhw.reproduce.outcome import Outcome, outcomes
from noisyhw.reproduce.plan import Cell, cells
from noisyhw.reproduce.trained import Sitting
from noisyhw.reproduce.verdict import Word, agrees, judged

SHIPPED = Path(paper.__file__).with_name("paper.yaml")
CONFIG = """
task: digits
device: ideal
rule: danp
network: {hidden: [8]}
perturbation: {std: 1e-3}
update: {path: adam, learning_rate: 0.01}
batch: 400
"""
STUDY = """
studies:
  tiny:
    title: A small study
    source: Table 0
    task: digits
    metric: accuracy
    tolerance: 60.0
    seeds: 2
    epochs: 3
    variants: {usual: {note: as it is}, slow: {note: slower, sets: ["batch=800"], nets: [small]}}
    nets:
      small:
        config: CONFIG
        rows:
          danp: {rate: 1e-2, train: 50.0, test: 50.0}
          bp: {rate: {usual: 1e-2, slow: 1e-3}, train: 50.0, test: 500.0}
      other:
        config: CONFIG
        rows:
          danp-2: {rule: danp, passes: 2, rate: 1e-2, train: 50.0, test: 50.0}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small study, which stands in for the paper's."""
    (tmp_path / "small.yaml").write_text(CONFIG)
    (tmp_path / "paper.yaml").write_text(STUDY.replace("CONFIG", str(tmp_path / "small.yaml")))
    monkeypatch.setattr(paper, "FILE", tmp_path / "paper.yaml")
    return tmp_path


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], place: Path) -> Call:
    def ask(*arguments: object) -> Said:
        return said_by(
            capsys, "reproduce", *arguments, "--runs", place / "runs", "--out", place / "reports", "--quiet"
        )

    return ask


def cell(row: str = "danp", net: str = "small") -> Cell:
    return Cell(paper.get_study("tiny"), "usual", net, row)


def lines_of(place: Path, name: str = "tiny") -> dict[str, str]:
    """The table's lines by row."""
    found = [
        line for line in (place / "reports" / f"{name}.md").read_text().splitlines() if line.startswith("| ")
    ]
    return {line.split(" | ")[1]: line for line in found if line.startswith(("| small", "| other"))}


def test_a_short_sitting_is_partial_and_the_next_one_goes_on_to_a_verdict(call: Call, place: Path) -> None:
    first = call("tiny", "--nets", "small", "--epochs", 2, "--seeds", 1)
    assert (first.code, first.out) == (0, f"{place / 'reports' / 'tiny.md'}\n")
    shown = lines_of(place)
    assert shown["danp"].endswith("| partial: 2 of 3 epochs, 1 of 2 seeds |")
    assert shown["danp-2"].endswith("| not run yet: nobody has started it |")
    assert call("tiny", "--nets", "small").code == 0
    shown = lines_of(place)
    assert shown["danp"].endswith("| reproduced |")
    assert "| 2 | 3 of 3 |" in shown["danp"]
    assert shown["bp"].endswith("| differs |")
    text = (place / "reports/tiny.md").read_text()
    assert "1 reproduced, 1 differs, 1 not run yet" in text
    assert "\nnoisyhw reproduce tiny --nets small\n" in text
    for kind in ("png", "svg"):
        assert (place / f"reports/tiny.{kind}").stat().st_size > 1000


def test_a_run_in_two_sittings_ends_bit_for_bit_where_one_sitting_ends(call: Call, place: Path) -> None:
    for epochs in (1, 3):
        call("tiny", "--rows", "danp", "--epochs", epochs, "--seeds", 1)
    folder = cell().folder(place / "runs", 0.01, 0)
    whole = noisyhw.train(cell().experiment(0.01, 0, 3), out=place / "whole")
    assert whole.status == "done"
    assert_same_end(folder, place / "whole")


def test_a_finished_run_is_not_trained_again(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("tiny", "--rows", "danp", "--seeds", 1, "--epochs", 2)

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(trained, "train", never)
    assert call("tiny", "--rows", "danp", "--seeds", 1, "--epochs", 2).code == 0
    assert call("tiny", "--rows", "danp", "--seeds", 1, "--epochs", 1).code == 0
    assert call("tiny", "--page-only").code == 0


def test_variants_have_pages_and_runs_of_their_own(call: Call, place: Path) -> None:
    call("tiny", "--rows", "bp", "--seeds", 1, "--epochs", 1, "--variant", "slow")
    shown = lines_of(place, "tiny-slow")
    assert shown.keys() == {"danp", "bp"}
    assert "| 0.001 | 1 | 1 of 3 |" in shown["bp"]
    call("tiny", "--page-only")
    assert "| 0.01 | - | - |" in lines_of(place)["bp"]


def test_studies_share_a_run_that_is_the_same_in_both(place: Path) -> None:
    usual, slow = (Cell(paper.get_study("tiny"), name, "small", "danp") for name in ("usual", "slow"))
    assert usual.folder(place, 0.01, 0) == cell().folder(place, 0.01, 0)
    assert usual.folder(place, 0.01, 0) != slow.folder(place, 0.01, 0)
    clean, table = (paper._read(SHIPPED)[name] for name in ("figure5", "table3"))
    shared = Cell(clean, "paper", "clean", "danp"), Cell(table, "paper", "3x1024", "danp")
    assert len({one.folder(place, 1e-3, 0) for one in shared}) == 1


def test_part_of_the_training_data_is_never_called_reproduced(call: Call, place: Path) -> None:
    call("tiny", "--rows", "danp")
    assert lines_of(place)["danp"].endswith("| reproduced |")
    record = cell().folder(place / "runs", 0.01, 0) / "run.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"notes": ["SARCOS: partial training file, 3 of 9 rows"]}))
    call("tiny", "--page-only")
    assert lines_of(place)["danp"].endswith("| partial: part of the training data |")
    assert "- SARCOS: partial training file, 3 of 9 rows" in (place / "reports/tiny.md").read_text()


def test_a_cell_of_which_a_seed_diverged_is_not_reproduced(call: Call, place: Path) -> None:
    call("tiny", "--rows", "danp")
    record = cell().folder(place / "runs", 0.01, 1) / "run.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"status": "diverged", "reason": "loss is infinite in epoch 2"}))
    call("tiny", "--page-only")
    assert lines_of(place)["danp"].endswith("| differs: 1 of 2 seeds diverged |")
    assert "diverged: loss is infinite in epoch 2" in (place / "reports/tiny.md").read_text()


def test_missing_data_is_the_reason_why_nothing_ran(call: Call, place: Path) -> None:
    file = place / "paper.yaml"
    file.write_text(file.read_text().replace("task: digits", "task: cifar10"))
    paper._read.cache_clear()
    call("tiny", "--page-only", "--data-dir", place)
    assert lines_of(place)["danp"].endswith("| not run yet: the data of task cifar10 is not here |")


def test_ctrl_c_saves_the_run_and_writes_the_page(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = trained.train

    def interrupted(*arguments: Any, **options: Any) -> noisyhw.Run:
        class Press:
            def started(self, *about: object) -> None: ...
            def stepped(self, trainer: Any, row: object) -> None:
                if trainer.step_count == 5:  # in the second epoch
                    signal.raise_signal(signal.SIGINT)

        return real(*arguments, **(options | {"watcher": Press()}))

    monkeypatch.setattr(trained, "train", interrupted)
    said = call("tiny", "--rows", "danp", "--seeds", 1)
    assert said.code == 130
    assert "stopped and saved; the same command goes on" in said.err
    assert lines_of(place)["danp"].endswith("| partial: 1 of 3 epochs, 1 of 2 seeds |")
    monkeypatch.setattr(trained, "train", real)
    assert call("tiny", "--rows", "danp", "--seeds", 1).code == 0
    assert lines_of(place)["danp"].endswith("| partial: 1 of 2 seeds |")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tinny"], "unknown experiment 'tinny'. Did you mean 'tiny'?"),
        (["tiny", "--variant", "slo"], "unknown variant 'slo'. Did you mean 'slow'?"),
        (["tiny", "--nets", "smal"], "unknown net 'smal'. Did you mean 'small'?"),
        (["tiny", "--rows", "dnap"], "unknown row 'dnap'. Did you mean 'danp'?"),
        (["tiny", "--rows", "bp", "--nets", "other"], "rows: tiny has none of bp for other"),
        (["tiny", "--epochs", "4"], "--epochs: tiny has 3 epochs, got 4; give 3 or fewer"),
        (["tiny", "--iterations", "3"], "--iterations: tiny is a table or SARCOS and has no such thing"),
        (["tiny", "--precision", "tf32"], "--precision: tiny is a table or SARCOS and has no such thing"),
        (["figure2", "--rows", "np"], "--rows: figure2 is a figure of angles and has no such thing"),
        (
            ["figure2", "--iterations", "1,x"],
            "--iterations: give numbers from 1 on, e.g. 1,10,100, got '1,x'",
        ),
        ([], "name an experiment"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_refused_with_the_choices(
    call: Call, arguments: list[str], message: str
) -> None:
    said = call(*arguments)
    assert said.code == 2
    assert message in said.err


def test_a_page_that_cannot_be_written_is_refused_with_the_fix(call: Call, place: Path) -> None:
    (place / "reports").write_text("a file")
    said = call("tiny", "--page-only")
    assert said.code == 1
    assert "cannot be made" in said.err
    assert "--out" in said.err


def test_the_list_shows_every_experiment_and_how_far_it_is(call: Call) -> None:
    call("tiny", "--rows", "danp", "--seeds", 1, "--epochs", 1)
    said = call("--list")
    assert "tiny     A small study (Table 0)" in said.out
    assert "3 cells, 2 seeds, 3 epochs: 1 partial, 2 not run yet" in said.out
    assert "--nets other: --rows danp-2" in said.out
    assert "figure2" in said.out
    assert "figure8" in said.out


def test_a_verdict_needs_the_number_within_the_widened_range() -> None:
    assert agrees(41.0, [40.0, 40.5], 0.6)
    assert agrees(39.5, [40.0, 40.5], 0.6)
    assert not agrees(41.2, [40.0, 40.5], 0.6)
    assert not agrees(39.3, [40.0, 40.5], 0.6)


def test_what_lacks_anything_is_partial_whether_it_agrees_or_not() -> None:
    assert judged(True, []).word is Word.REPRODUCED
    assert judged(False, []).word is Word.DIFFERS
    for holds in (True, False):
        assert str(judged(holds, ["1 of 3 seeds"])) == "partial: 1 of 3 seeds"


# The learning rate by doubling


class Loss(noisyhw.Run):
    """A short run whose training loss ends at a multiple of its first."""

    growth = 1.0

    @property
    def metrics(self) -> pd.DataFrame:
        return pd.DataFrame({"train_loss": [1.0, 0.5, 0.5 * self.growth]})


def made_run(growth: float, status: str = "done") -> Loss:
    run = Loss(Path("run"), status, None, "0")
    object.__setattr__(run, "growth", growth)
    return run


@pytest.mark.parametrize(
    ("run", "is_stable"),
    [
        (made_run(1.0), True),
        (made_run(1.09), True),
        (made_run(1.11), False),
        (made_run(float("nan")), False),
        (made_run(1.0, "diverged"), False),
    ],
    ids=["as good as ever", "within", "beyond", "not a number", "diverged"],
)
def test_a_short_run_is_stable_if_it_ends_near_its_best(run: Loss, is_stable: bool) -> None:
    assert rates.stable(run) is is_stable


def test_a_rate_that_ends_worse_than_a_smaller_one_did_is_unstable() -> None:
    assert rates.stable(made_run(1.0), lowest=0.46)
    assert not rates.stable(made_run(1.0), lowest=0.45)


def test_doubling_ends_at_the_first_unstable_rate_and_keeps_the_one_before(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = place / "paper.yaml"
    file.write_text(file.read_text().replace("danp: {rate: 1e-2,", "danp: {rate: doubling,"))
    paper._read.cache_clear()
    tried: list[float] = []

    def fake(experiment: Any, **options: object) -> Loss:
        tried.append(experiment.update.learning_rate)
        return made_run(1.0 if tried[-1] < 1e-6 else 5.0)

    monkeypatch.setattr(rates, "train", fake)
    sitting = Sitting(place, None, lambda text: None, nullcontext)
    assert rates.rate_of(cell(), place) is None
    found = rates.find_rate(cell(), rates.EPOCHS, sitting)
    assert tried == pytest.approx([1e-7, 2e-7, 4e-7, 8e-7, 1.6e-6])
    assert found == pytest.approx(8e-7)
    assert rates.rate_of(cell(), place) == found
    assert rates.find_rate(cell(), rates.EPOCHS, sitting) == found
    assert len(tried) == 5


@pytest.mark.parametrize(
    ("run", "is_steady"),
    [
        (made_run(1.9), True),
        (made_run(2.1), False),
        (made_run(float("nan")), False),
        (made_run(1.0, "diverged"), False),
    ],
    ids=["within", "blown up", "not a number", "diverged"],
)
def test_a_whole_run_is_steady_if_its_loss_never_doubles(run: Loss, is_steady: bool) -> None:
    assert rates.steady(run) is is_steady


def test_a_rate_that_is_unstable_late_in_the_whole_run_is_halved(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = place / "paper.yaml"
    file.write_text(file.read_text().replace("danp: {rate: 1e-2,", "danp: {rate: doubling,"))
    paper._read.cache_clear()
    whole: list[float] = []

    def short(experiment: Any, **options: object) -> Loss:
        return made_run(1.0 if experiment.update.learning_rate < 1e-6 else 5.0)

    def to_the_end(cell: Cell, rate: float, *rest: object) -> Loss:
        whole.append(rate)
        return made_run(1.0 if rate < 3e-7 else 2.5)

    monkeypatch.setattr(rates, "train", short)
    monkeypatch.setattr(rates, "trained", to_the_end)
    said: list[str] = []
    sitting = Sitting(place, None, said.append, nullcontext)
    assert rates.find_rate(cell(), rates.EPOCHS + 1, sitting) == pytest.approx(2e-7)
    assert whole == pytest.approx([8e-7, 4e-7, 2e-7])
    assert "learning rate 8e-07 is unstable later on, halved" in said[1]
    assert rates.find_rate(cell(), rates.EPOCHS + 1, sitting) == pytest.approx(2e-7)
    assert len(whole) == 3


# The paper's own studies


def shipped_cells() -> Iterator[Cell]:
    for study in paper._read(SHIPPED).values():
        for variant in study.variants:
            yield from cells(study, variant)


@pytest.mark.parametrize(
    "one", list(shipped_cells()), ids=lambda one: f"{one.study.name}-{one.variant}-{one.label}"
)
def test_every_cell_of_the_paper_is_an_experiment_that_can_start(one: Cell) -> None:
    rate = one.row.given_rate(one.variant)
    assert one.net.config in shipped_experiments()
    experiment = one.experiment(rate, 0, one.study.epochs)
    assert experiment.rule.name == one.row.rule
    assert experiment.task.name == one.study.task
    assert experiment.perturbation.passes == one.row.passes
    assert rate is None or experiment.update.learning_rate == rate
    if one.row.rule in ("bp", "dbp"):
        assert experiment.perturbation.std == "auto"


def test_the_networks_are_those_of_table_1() -> None:
    networks = {name: load_experiment(name).network for name in shipped_experiments() if "digits" not in name}
    hidden = {name: network.hidden for name, network in networks.items()}
    assert hidden["cifar10-1layer"] == ()
    assert [hidden[f"cifar10-{n}x1024"] for n in (3, 6, 9)] == [(1024,) * n for n in (3, 6, 9)]
    assert hidden["cifar10-convnet"] == (1024,)
    assert hidden["tiny-imagenet-convnet"] == (512, 512)
    assert hidden["sarcos-paper"] == (32, 32)
    convolutions = {
        name: [(conv.kernel, conv.channels, conv.stride) for conv in network.conv]
        for name, network in networks.items()
    }
    assert convolutions["cifar10-convnet"] == [(3, 16, 2), (3, 32, 2), (3, 64, 1)]
    assert convolutions["tiny-imagenet-convnet"] == [(5, 32, 2), (3, 64, 2), (5, 128, 1)]


def test_sarcos_decorrelates_as_appendix_j_says() -> None:
    found = {
        one.row_name: one.experiment(1e-3, 0, 500).decorrelation.rate
        for one in shipped_cells()
        if (one.study.name, one.variant) == ("sarcos", "raw")
    }
    assert found == {"np": None, "anp": None, "bp": None, "dnp": 1e-4, "danp": 1e-4, "dbp": 1e-3}


# Figure 5


class Seen(Outcome):
    """An outcome with given curves, the given seeds alike."""

    test: tuple[float, ...] = ()
    train: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    gone: tuple[int, ...] = ()
    whole = True

    @property
    def lost(self) -> set[int]:
        return set(self.gone)

    @property
    def tables(self) -> dict[int, pd.DataFrame]:
        epochs = range(1, len(self.test) + 1)
        columns = {"epoch": epochs, "test_accuracy": self.test, "train_accuracy": self.train}
        return {seed: pd.DataFrame(columns) for seed in self.seeds} if self.test else {}

    @property
    def epochs(self) -> int:
        return len(self.test)

    @property
    def lacking(self) -> list[str]:
        return [] if self.whole else ["5 of 50 epochs"]


def seen(net: str, row: str, test: list[float], train: list[float] | None = None, whole: bool = True) -> Seen:
    study = paper._read(SHIPPED)["figure5"]
    one = Seen(Cell(study, "paper", net, row), 1e-3, {})
    for name, value in (("test", tuple(test)), ("train", tuple(train or test)), ("whole", whole)):
        object.__setattr__(one, name, value)
    return one


UP = [0.3, 0.34, 0.36, 0.38, 0.40, 0.42]
SLOWER = [0.25, 0.3, 0.33, 0.35, 0.37, 0.36]


def words(outcomes: list[Seen]) -> list[str]:
    return [claim.verdict.word.value for claim in figure5_claims(outcomes)]


def test_figure_5_is_reproduced_where_all_it_says_is_seen_and_differs_where_not() -> None:
    danp = [seen("clean", "danp", UP), seen("noisy", "danp", [value - 0.01 for value in UP])]
    dnp = [seen("clean", "dnp", UP), seen("noisy", "dnp", SLOWER, [*SLOWER[:-1], 0.3])]
    assert words(danp + dnp) == ["reproduced"] * 4
    worse = [seen("clean", "danp", UP), seen("noisy", "danp", [value - 0.03 for value in UP])]
    alike = [seen("clean", "dnp", UP), seen("noisy", "dnp", UP)]
    assert words(worse + alike) == ["differs"] * 4


def test_figure_5_is_partial_with_fewer_epochs_and_not_run_without_runs() -> None:
    danp = [seen("clean", "danp", UP, whole=False), seen("noisy", "danp", UP)]
    dnp = [seen("clean", "dnp", UP), seen("noisy", "dnp", [])]
    assert words(danp + dnp) == ["partial"] + ["not run yet"] * 3


def test_a_curve_is_of_the_same_seeds_from_end_to_end_and_keeps_its_colour() -> None:
    axes = Figure().subplots()
    nothing, stopped = (
        pd.DataFrame(),
        pd.DataFrame({0: [1.0, 2.0, 9.0], 1: [3.0, 4.0, None]}, index=[1, 2, 3]),
    )
    draw_bands(axes, {"empty": nothing, "stopped": stopped}, "loss")
    [line] = axes.get_lines()
    assert line.get_xydata().tolist() == [[1, 2], [2, 3]]
    assert line.get_color() == "C1"
    assert line.get_label() == "stopped (n=2)"


def test_clean_and_noisy_are_compared_over_the_seeds_and_epochs_that_both_have() -> None:
    clean, noisy = seen("clean", "danp", UP), seen("noisy", "danp", UP[:4])
    object.__setattr__(noisy, "seeds", (1, 2))
    told = figure5_claims([clean, noisy])[0]
    assert told.seen == "clean 38.0, noisy 38.0 (n=2, 4 epochs)"


def test_peaks_are_of_the_epochs_that_all_seeds_have(call: Call, place: Path) -> None:
    call("tiny", "--rows", "danp", "--seeds", 1)
    call("tiny", "--rows", "danp", "--epochs", 1)
    found = outcomes([cell()], place / "runs", 2)[0]
    first = [float(table.test_accuracy.iloc[0]) * 100 for table in found.tables.values()]
    assert [len(table) for table in found.tables.values()] == [3, 1]
    assert found.values("test") == first


def test_seeds_that_diverged_are_told_and_left_out_of_both_sides() -> None:
    clean, noisy = seen("clean", "dnp", UP), seen("noisy", "dnp", SLOWER)
    object.__setattr__(noisy, "gone", (1,))
    told = figure5_claims([clean, noisy])
    assert told[1].seen == "clean 40.0, noisy 37.0 (n=2, 6 epochs, 1 noisy diverged)"
    assert told[2].verdict.word is Word.REPRODUCED


@pytest.mark.parametrize(("net", "words_"), [("noisy", ["reproduced"] * 3), ("clean", ["differs"] * 3)])
def test_a_side_of_which_all_seeds_diverged_learns_worse(net: str, words_: list[str]) -> None:
    sides = {name: seen(name, "dnp", UP) for name in ("clean", "noisy")}
    object.__setattr__(sides[net], "gone", (0, 1, 2))
    told = figure5_claims(list(sides.values()))
    assert told[1].seen == told[3].seen == f"3 {net} diverged"
    assert [told[place].verdict.word.value for place in (1, 2, 3)] == words_
