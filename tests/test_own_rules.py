"""A rule of one's own: options, memory, weight changes, weight perturbation; from a file, an object, or a card."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from noisyhw_cli.main import cli
from pydantic import Field, field_validator
from support import make_card

import noisyhw
from noisyhw import foreign
from noisyhw.cards import load_experiment
from noisyhw.errors import UsageError
from noisyhw.observation import Observation
from noisyhw.rules import Change, Knows, LayerShape, Options, Rule, card_of, get_rule, rule_of
from noisyhw.tasks import data_of, load_data
from noisyhw.training.progress import Diverged
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

SMALL = ["epochs=1", "network.hidden=[8]", "batch=400", "update.path=sgd"]
MINE = """
from pydantic import Field
from noisyhw.rules import Knows, Options, Rule
from noisyhw.rules.activity import ActivityNodePerturbation


class Gains(Options):
    gain: float = Field(1.0, gt=0)


class Louder(ActivityNodePerturbation):
    name = "louder"
    title = "anp with a gain"
    options_model = Gains

    def signals(self, seen):
        return tuple(GAIN * self.options.gain * d for d in super().signals(seen))


GAIN = 1.0
"""


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test allowed is not allowed in the next."""
    monkeypatch.setattr(foreign, "_allowed", set())
    monkeypatch.setattr(foreign, "_everything", False)
    monkeypatch.delenv(foreign.TRUST, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_rule.py"
    path.write_text(MINE)
    return path


def losses(out: Path, **given: Any) -> list[float]:
    run = noisyhw.train(out=out, **{"device": "ideal", "sets": SMALL, **given})
    return list(run.metrics["train_loss"])


# From a file.


def test_a_rule_from_a_file_trains_and_its_options_count(file: Path, tmp_path: Path) -> None:
    anp = losses(tmp_path / "anp", rule="anp")
    same = losses(tmp_path / "same", rule=f"{file}:Louder")
    louder = losses(tmp_path / "louder", rule=str(file), sets=[*SMALL, "rule.gain=3.0"])
    assert same == anp
    assert louder != anp


def test_an_edited_rule_file_makes_another_run(file: Path, tmp_path: Path) -> None:
    monkey = CliRunner()
    ids = []
    for gain in ("1.0", "2.0"):
        file.write_text(MINE.replace("GAIN = 1.0", f"GAIN = {gain}"))
        command = ["train", "--device", "ideal", "--rule", str(file), "--json", "--quiet"]
        for one in SMALL:
            command += ["--set", one]
        with monkey.isolated_filesystem(temp_dir=tmp_path):
            shown = monkey.invoke(cli, command)
            assert shown.exit_code == 0, shown.output
            ids.append(shown.output)
    assert ids[0] != ids[1]


def test_where_a_rule_s_file_lies_is_not_part_of_its_run_s_identity(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "renamed.py"
    other.parent.mkdir()
    other.write_text(MINE)
    one, two = (
        resolve(load_experiment(None, {"device": "ideal", "rule.name": f"{path}:Louder"}))
        for path in (file, other)
    )
    assert one.identity("d", "c") == two.identity("d", "c")


def test_a_card_that_names_a_file_runs_nothing_unasked(file: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    marker = tmp_path / "ran"
    file.write_text(MINE + f"\nopen({str(marker)!r}, 'w').close()\n")
    card.write_text("device: ideal\nrule: {file: my_rule.py, name: Louder, gain: 2.0}\nepochs: 1\n")
    with pytest.raises(UsageError, match=r"is not run unasked.*--trust"):
        noisyhw.train(card, out=tmp_path / "run")
    assert not marker.exists()
    run = noisyhw.train(card, out=tmp_path / "run", sets=SMALL, trust=True)
    assert run.status == "done"
    assert marker.exists()


def test_a_run_with_a_file_s_rule_is_resumed_only_where_the_file_is_trusted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [*SMALL, "epochs=2"]
    noisyhw.train(device="ideal", rule=str(file), sets=sets, out=tmp_path / "cut", pause_after=1)
    whole = losses(tmp_path / "whole", rule=str(file), sets=sets)
    monkeypatch.setattr(foreign, "_allowed", set())
    with pytest.raises(UsageError, match="unasked"):
        noisyhw.resume(tmp_path / "cut")
    assert list(noisyhw.resume(tmp_path / "cut", trust=True).metrics["train_loss"]) == whole
    noisyhw.train(device="ideal", rule=str(file), sets=sets, out=tmp_path / "other", pause_after=1)
    file.write_text(MINE + "\n# edited\n")
    with pytest.raises(UsageError, match="code of Louder has changed"):
        noisyhw.resume(tmp_path / "other", trust=True)


def test_an_unknown_option_and_a_wrong_value_are_told_with_their_field(file: Path) -> None:
    for setting, told in (
        ("rule.gian=2.0", r"rule\.gian"),
        ("rule.gain=-1.0", r"rule\.gain.*greater than 0"),
    ):
        with pytest.raises(UsageError, match=told):
            resolve(load_experiment(None, {"device": "ideal", "rule.name": str(file)}, [setting]))
    with pytest.raises(UsageError, match=r"rule\.gain: there is no such option"):
        resolve(load_experiment(None, {"device": "ideal", "rule.name": "danp"}, ["rule.gain=2.0"]))


def test_a_rule_that_is_named_over_a_card_s_leaves_nothing_of_the_card_s_own(
    file: Path, tmp_path: Path
) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nrule: {file: my_rule.py, name: Louder, gain: 2.0, decorrelate: true}\n")
    anp = load_experiment(card, {"rule.name": "anp"}).rule
    assert (anp.name, anp.file, anp.options, anp.decorrelate) == ("anp", None, {}, True)
    other = load_experiment(card, {"rule.name": f"{file}:Other"}).rule
    assert (other.name, other.options) == ("Other", {})
    same = load_experiment(card, {"rule.name": f"{file}:Louder"}, ["rule.decorrelate=false"]).rule
    assert (same.options, same.decorrelate) == ({"gain": 2.0}, False)
    for sets in (["rule.name=anp", "rule.gain=3.0"], ["rule.gain=3.0", "rule.name=anp"]):
        assert load_experiment(card, None, sets).rule.options == {"gain": 3.0}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_computes_anew_after_its_rule_file_was_edited(
    file: Path, tmp_path: Path, workers: int
) -> None:
    card = {
        "experiment": {
            "device": "ideal",
            "update": {"path": "sgd"},  # adam all but forgets a gain
            "network": {"hidden": [4]},
            "batch": 900,
            "epochs": 1,
        },
        "grid": {"rule.gain": [0.5, 2.0]},
    }
    found = []
    for text in (MINE, MINE.replace("GAIN = 1.0", "GAIN = 3.0")):
        file.write_text(text)
        made = noisyhw.sweep(card, out=tmp_path / "sweep", sets=[f"rule={file}:Louder"], workers=workers)
        assert list(made.table["status"]) == ["done", "done"]
        found += list(made.table["train_loss"])
    assert len(set(found)) == 4


# As an object.


class Momentum(Options):
    """Its one option."""

    keep: float = Field(0.5, ge=0, lt=1)


class Remembers(Rule):
    """anp's signals, averaged over each unit's past; draws a number a batch."""

    name = "remembers"
    title = "anp with a memory"
    knows = frozenset({Knows.ACTIVITIES})
    options_model = Momentum
    per_weight = ("a trace",)

    def probes(self, layers: int) -> tuple[tuple[bool, ...], ...]:
        return ((True,) * layers,)

    def init(self, layers: Any, generator: torch.Generator) -> Any:
        assert all(isinstance(layer, LayerShape) for layer in layers)
        self.generator = generator
        return {"mean": [torch.zeros(layer.units) for layer in layers]}

    def learn(self, seen: Observation, state: Any) -> Any:
        keep = self.options.keep + 0.01 * float(torch.rand((), generator=self.generator))
        own = get_rule("anp")[0].signals(seen)
        means = [keep * old + (1 - keep) * d.mean(0) for old, d in zip(state["mean"], own, strict=True)]
        return tuple(d + mean for d, mean in zip(own, means, strict=True)), {"mean": means}


def test_a_rule_with_a_memory_and_draws_is_resumed_with_the_same_bits(tmp_path: Path) -> None:
    sets = [*SMALL, "epochs=3"]
    whole = losses(tmp_path / "whole", rule=Remembers(keep=0.9), sets=sets)
    noisyhw.train(device="ideal", rule=Remembers(keep=0.9), sets=sets, out=tmp_path / "cut", pause_after=1)
    run = noisyhw.resume(tmp_path / "cut", rule=Remembers, trust=True)
    assert list(run.metrics["train_loss"]) == whole
    assert losses(tmp_path / "other", rule=Remembers(keep=0.1), sets=sets) != whole


def test_what_a_rule_keeps_is_told_as_digital_memory(tmp_path: Path) -> None:
    run = noisyhw.train(
        device="ideal", rule=Remembers, sets=[*SMALL, "update.path=sgd"], out=tmp_path / "run"
    )
    assert run.record["digital_memory"] == ["a trace, by the rule"]


def test_a_class_that_no_file_holds_trains_in_this_process(tmp_path: Path) -> None:
    hidden = type("Hidden", (Remembers,), {"name": "hidden", "__module__": "__main__"})
    assert losses(tmp_path / "run", rule=hidden(keep=0.5))


# Weight changes and weight perturbation.


class WeightPerturbation(Rule):
    """dL of a pass times the perturbation of the weights that made it, for every sample of a batch together."""

    name = "wp"
    title = "weight perturbation"
    knows = frozenset({Knows.INJECTED_WEIGHTS})

    def probes(self, layers: int) -> tuple[tuple[bool, ...], ...]:
        return ((False,) * layers,)

    def weight_probes(self, layers: int) -> tuple[tuple[bool, ...], ...]:
        return ((True,) * layers,)

    def learn(self, seen: Observation, state: Any) -> Any:
        rise = (seen.losses[1] - seen.losses[0]).mean()
        assert seen.injected is not None
        scale = rise / seen.injected.std**2
        return tuple(Change(scale * noise[0]) for noise in seen.injected.weights), state


def trainer(rule: type[Rule], *sets: str, device: Any = None) -> Trainer:
    content = card_of(rule)
    experiment = load_experiment(None, {"device": "ideal", "rule": content}, [*SMALL, *sets])
    if device is not None:
        experiment = experiment.model_copy(update={"device": device})
    resolved = resolve(experiment)
    return Trainer(resolved, load_data(data_of(resolved)))


def test_weight_perturbation_s_mean_change_is_the_gradient() -> None:
    """E[dL xi] / std^2 = dL/dW to first order; with n draws a component's error is |g| / sqrt(n)."""
    one = trainer(WeightPerturbation, "network.hidden=[]")
    x, y = one.data.train_x[:64], one.data.train_y[:64]
    rule, total, draws = WeightPerturbation(), 0.0, 3000
    for _ in range(draws):
        seen = one.chip.observe(x, y, rule, 1e-2)
        total = total + rule.learn(seen, None)[0][0].weight / draws
    truth = one.chip.observe(x, y, get_rule("bp")[0])
    gradient = truth.gradient[0].t() @ truth.inputs[0] / 64
    error = (total - gradient).norm() / gradient.norm()
    assert error == pytest.approx((gradient.numel() / draws) ** 0.5, rel=0.25)


def test_a_weight_change_moves_weights_by_rate_times_it() -> None:
    class Fixed(WeightPerturbation):
        def learn(self, seen: Observation, state: Any) -> Any:
            return tuple(
                Change(torch.ones_like(noise[0]), torch.ones(len(noise[0])))
                for noise in seen.injected.weights
            ), state

    one = trainer(Fixed, "update.path=sgd", "update.learning_rate=0.5")
    before = [layer.tile.twin() for layer in one.chip.layers]
    biases = [layer.bias.clone() for layer in one.chip.layers]
    one.step()
    for layer, weight, bias in zip(one.chip.layers, before, biases, strict=True):
        torch.testing.assert_close(layer.tile.twin(), weight - 0.5)
        torch.testing.assert_close(layer.bias, bias - 0.5)


def test_a_weight_change_that_is_not_finite_ends_the_run_as_diverged() -> None:
    class Broken(WeightPerturbation):
        def learn(self, seen: Observation, state: Any) -> Any:
            return tuple(
                Change(torch.ones_like(noise[0]), torch.full((len(noise[0]),), float("nan")))
                for noise in seen.injected.weights
            ), state

    one = trainer(Broken, "update.path=sgd")
    with pytest.raises(Diverged, match="update of biases is not a number"):
        one.step()


def test_weights_are_perturbed_only_where_the_device_grants_that_port() -> None:
    noise = {"white": {"std": 0.01}}
    with pytest.raises(UsageError, match="has no port for that"):
        trainer(WeightPerturbation, device=make_card(read_noise=noise))
    trainer(WeightPerturbation, device=make_card(read_noise=noise, weight_perturbation=True)).step()


def test_a_rule_that_perturbs_weights_unsaid_is_refused() -> None:
    secret = type("Secret", (WeightPerturbation,), {"knows": frozenset({Knows.ACTIVITIES})})
    with pytest.raises(UsageError, match="let it declare that it knows"):
        trainer(secret)


def with_bias(bias: torch.Tensor) -> Change:
    """A change that nothing has checked."""
    change = Change(torch.zeros(8, 64))
    object.__setattr__(change, "bias", bias)
    return change


@pytest.mark.parametrize(
    ("handed", "told"),
    [
        (lambda seen: seen.inputs, r"layer 0, where \[400, 8\]"),
        (lambda seen: (seen.pre_activations[0][0, 1:],) * 2, r"\[399, 8\] for layer 0, where \[400, 8\]"),
        (
            lambda seen: (seen.pre_activations[0][0].double(),) * 2,
            r"torch.float64 for layer 0.*torch.float32",
        ),
        (
            lambda seen: (with_bias(torch.zeros(1, 8)),) * 2,
            r"a change of biases of \[1, 8\] for layer 0, where a change of biases of \[8\]",
        ),
        (lambda seen: (Change(torch.zeros(2, 2)),) * 2, r"\[2, 2\] for layer 0, where a change of \[8, 64\]"),
        (lambda seen: seen.pre_activations[0][:1], "handed back 1 signals for 2 layers"),
        (lambda seen: ("x", "y"), "a str for layer 0"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_with_layer_and_shapes(handed: Any, told: str) -> None:
    bad = type(
        "Bad",
        (Remembers,),
        {"learn": lambda self, seen, state: (tuple(handed(seen)), state), "init": Rule.init},
    )
    with pytest.raises(UsageError, match=told):
        trainer(bad, "network.hidden=[8]").step()


# What a run could not write down, repeat or resume.


class Attributes(Remembers):
    """Keeps a number beside its memory."""

    def learn(self, seen: Observation, state: Any) -> Any:
        self.batches = 1
        return super().learn(seen, state)


class OwnInit(Remembers):
    """Is made with a number."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gain = 2.0


class Doubling(Options):
    """Changes its value each time that it is read."""

    gain: float = 1.0

    @field_validator("gain")
    @classmethod
    def _double(cls, value: float) -> float:
        return 2 * value


class Named(Options):
    """Has a card's own field."""

    code: str = ""


def test_a_rule_that_holds_more_than_its_options_is_refused() -> None:
    with pytest.raises(UsageError, match="Attributes holds 'batches'"):
        trainer(Attributes).step()
    with pytest.raises(UsageError, match=r"OwnInit holds 'gain'.*make it an option"):
        trainer(OwnInit)
    given = Remembers(keep=0.5)
    given.gain = 2.0  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="Remembers holds 'gain'"):
        card_of(given)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"options_model": Doubling}, "not the same when they are read a second time"),
        ({"options_model": Named}, "has an option 'code'.*rename"),
        ({"knows": "activities"}, "knows is 'activities'; say what the rule must know"),
        ({"name": None}, "has no name"),
    ],
)
def test_a_class_that_does_not_say_what_it_must_is_refused(fields: dict[str, Any], told: str) -> None:
    bad = type("Bad", (Remembers,), fields)
    with pytest.raises(UsageError, match=told):
        trainer(bad(gain=2.0) if fields.get("options_model") is Doubling else bad)


def test_knowledge_may_be_said_as_one_as_a_list_or_as_a_set() -> None:
    for said in (Knows.ACTIVITIES, [Knows.ACTIVITIES], {Knows.ACTIVITIES}):
        assert type("One", (Remembers,), {"knows": said}).knows == frozenset({Knows.ACTIVITIES})


@pytest.mark.parametrize(
    "kept", [lambda: {"f": print}, lambda: {1, 2}, lambda: [Path()], lambda: LayerShape(1, 1)]
)
def test_a_memory_that_no_checkpoint_holds_is_refused_at_the_first_batch(kept: Any) -> None:
    bad = type(
        "Bad",
        (Remembers,),
        {
            "init": lambda self, layers, generator: kept(),
            "learn": lambda self, seen, state: (get_rule("anp")[0].signals(seen), state),
        },
    )
    with pytest.raises(UsageError, match="in its memory; use tensors"):
        trainer(bad).step()


def test_a_rule_that_forgets_to_hand_back_its_memory_is_told_so() -> None:
    bad = type("Bad", (Remembers,), {"learn": lambda self, seen, state: list(seen.pre_activations)})
    with pytest.raises(UsageError, match="learn handed back a list; hand back two things"):
        trainer(bad).step()


def test_draws_of_a_rule_that_only_overrides_init_are_in_its_checkpoint() -> None:
    def init(self: Any, layers: Any, generator: torch.Generator) -> None:
        self.draws = generator

    def signals(self: Any, seen: Observation) -> Any:
        return tuple(a[0] * torch.rand((), generator=self.draws) for a in seen.pre_activations)

    kind = type("Draws", (Rule,), {**vars(Remembers), "init": init, "signals": signals, "learn": Rule.learn})
    assert "rule_draws" in trainer(kind).state()


def test_antithetic_passes_are_refused_for_a_rule_that_perturbs_weights() -> None:
    card = make_card(read_noise={"white": {"std": 0.01}}, weight_perturbation=True)
    with pytest.raises(UsageError, match=r"antithetic.*perturbs weights"):
        trainer(WeightPerturbation, "perturbation.antithetic=true", device=card)


def test_anything_but_a_rule_is_told_what_a_rule_is() -> None:
    with pytest.raises(UsageError, match=r"give a rule's name, a file, or a noisyhw\.Rule, got 3"):
        card_of(3)


# Whose code it is.


def made_around(gain: float) -> type[Rule]:
    class Inside(Remembers):
        """Is made in a function."""

        def learn(self, seen: Observation, state: Any) -> Any:
            signals, state = super().learn(seen, state)
            return tuple(gain * d for d in signals), state

    return Inside


def test_classes_that_one_function_made_around_other_values_are_other_rules() -> None:
    assert foreign.code_of(made_around(1.0)) == foreign.code_of(made_around(1.0))
    assert foreign.code_of(made_around(1.0)) != foreign.code_of(made_around(2.0))
    assert card_of(made_around(1.0)) != card_of(made_around(2.0))
    with pytest.raises(UsageError, match="uses 'gain' of the function around it, a object"):
        foreign.code_of(made_around(object()))  # type: ignore[arg-type]


def test_a_class_attribute_that_a_program_sets_makes_another_rule() -> None:
    made = type("Gains", (Remembers,), {"gain": 1.0})
    before = foreign.code_of(made)
    made.gain = 2.0  # type: ignore[attr-defined]
    assert foreign.code_of(made) != before


@pytest.mark.parametrize("where", ["top", "inside"])
def test_an_edited_helper_of_a_rule_that_was_given_makes_another_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    name, helper = f"rule_{where}", tmp_path / f"helper_{where}.py"
    line = f"from helper_{where} import GAIN"
    text = MINE.replace("GAIN = 1.0", line if where == "top" else "")
    if where == "inside":
        text = text.replace("        return tuple(GAIN", f"        {line}\n        return tuple(GAIN")
    (tmp_path / f"{name}.py").write_text(text)
    helper.write_text("GAIN = 1.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = importlib.import_module(name).Louder
    before = foreign.code_of(kind)
    helper.write_text("GAIN = 2.0")
    assert foreign.code_of(kind) != before


def test_a_rule_of_a_package_is_named_by_the_package_s_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "strange_rules"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "gains.py").write_text("GAIN = 1.0")
    (package / "other.py").write_text("GAIN = 1.0")
    (package / "mine.py").write_text(MINE.replace("GAIN = 1.0", "from .gains import GAIN"))
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = importlib.import_module("strange_rules.mine").Louder
    before = foreign.code_of(kind)
    (package / "other.py").write_text("GAIN = 2.0")
    assert foreign.code_of(kind) == before
    (package / "gains.py").write_text("GAIN = 2.0")
    assert foreign.code_of(kind) != before


# What a rule may know.


class Peeks(Remembers):
    """Keeps what it was shown."""

    def init(self, layers: Any, generator: torch.Generator) -> Any:
        return None

    def learn(self, seen: Observation, state: Any) -> Any:
        type(self).shown = seen
        return tuple(torch.zeros_like(a[0]) for a in seen.pre_activations), state


def test_the_output_error_is_the_loss_s_derivative_at_the_read_outs_and_slopes_are_the_activations() -> None:
    peeks = type("PeeksAtOutputs", (Peeks,), {"knows": frozenset({Knows.OUTPUT_ERROR})})
    one = trainer(peeks, "network.hidden=[8]")
    one.step()
    seen = peeks.shown
    outputs = seen.pre_activations[-1][0]
    rows = one.order(0)[: len(outputs)]
    softmax = torch.softmax(outputs, 1)
    expected = softmax - torch.nn.functional.one_hot(one.data.train_y[rows], 10)
    torch.testing.assert_close(seen.output_error, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(seen.slopes[0], torch.where(seen.pre_activations[0][0] > 0, 1.0, 0.2))
    assert torch.equal(seen.slopes[1], torch.ones_like(outputs))


def test_what_a_rule_does_not_declare_it_does_not_see() -> None:
    one = trainer(Peeks, "network.hidden=[8]")
    one.step()
    seen = Peeks.shown
    assert seen.output_error is seen.slopes is seen.injected is seen.gradient is None


def test_one_rule_is_written_in_one_way() -> None:
    named, said = (
        resolve(load_experiment(None, {"device": "ideal", "rule.name": name}, sets))
        for name, sets in (("danp", ()), ("anp", ("rule.decorrelate=true",)))
    )
    assert named == said
    rule, decorrelated = rule_of(said.rule)
    assert (rule.name, decorrelated) == ("anp", True)
