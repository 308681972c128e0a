"""A torch.nn.Module on tiles: PyTorch's own training on an exact device, all rules, refusals, files, resumed runs."""

from __future__ import annotations

import copy
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import pytest
import torch
from networks import Concatenated, Recurrent, ResNet8, Stepped
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

import noisyhw
from noisyhw import Data, Device, foreign, from_torch
from noisyhw.cards import load_experiment
from noisyhw.errors import UsageError
from noisyhw.network.build import build_traced
from noisyhw.network.card import card_of
from noisyhw.rules import Knows, Rule, get_rule
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

IMAGES, SERIES = (3, 8, 8), (8, 8)
NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (networks.mlp, IMAGES),
    "resnet": (ResNet8, IMAGES),
    "concatenated": (Concatenated, IMAGES),
    "same": (networks.same_padded, IMAGES),
    "gru": (lambda: Recurrent(nn.GRU), SERIES),
    "lstm": (lambda: Recurrent(nn.LSTM), SERIES),
    "elman": (lambda: Recurrent(nn.RNN), SERIES),
    "gru cells": (lambda: Stepped(nn.GRUCell), SERIES),
    "lstm cells": (lambda: Stepped(nn.LSTMCell), SERIES),
    "elman cells": (lambda: Stepped(nn.RNNCell), SERIES),
    "squeeze": (networks.SqueezeExcite, IMAGES),
    "unet": (networks.UNet, IMAGES),
    "transformer": (networks.Transformer, SERIES),
    "norm called twice": (networks.Twice, SERIES),
    "folded steps": (networks.Folded, SERIES),
    "folded steps, lstm": (lambda: networks.Folded(nn.LSTM), SERIES),
    "norm in evaluation": (networks.HalfFrozen, IMAGES),
}
BATCH, STEPS, RATE = 16, 20, 0.05


def made(name: str) -> tuple[nn.Module, Data]:
    """A net and data of its shape, in which the class shows."""
    make, shape = NETS[name]
    torch.manual_seed(5)
    module = make()
    y = torch.arange(BATCH * STEPS) % 10
    templates = torch.randn(10, *shape)
    x = templates[y] + 0.3 * torch.randn(len(y), *shape)
    return module, Data.from_arrays(x, y, test=(x[:40], y[:40]))


def trainer(name: str, *sets: str, device: str = "ideal", rule: str = "bp", epochs: int = 1) -> Trainer:
    module, data = made(name)
    options = {
        "device": device,
        "rule": {"name": rule},
        "network": card_of(from_torch(module, torch.zeros(2, *NETS[name][1]))),
        "epochs": epochs,
        "batch": BATCH,
    }
    experiment = resolve(load_experiment(None, options, ["update.path=sgd", *sets]))
    return Trainer(experiment, data)


def loss_of(made: Trainer) -> float:
    row = None
    while row is None:
        row = made.step()
    return row.train_loss


@pytest.mark.parametrize("name", NETS)
def test_bp_on_an_exact_device_is_pytorch_s_own_training_step_for_step(name: str) -> None:
    ours = trainer(name, f"update.learning_rate={RATE}")
    module = made(name)[0].train()
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE)
    shape = NETS[name][1]
    for index in range(STEPS):
        x, y = ours._batch(0, index)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x.view(-1, *shape)), y).backward()
        optimizer.step()
        ours.step() if index < STEPS - 1 else ours.learn(x, y)
        module.eval()
        with torch.no_grad():
            theirs = module(ours.data.test_x.view(-1, *shape))
        module.train()
        own = ours.chip.predict(ours.data.test_x)
        assert float((own - theirs).abs().max() / theirs.abs().max()) < 1e-5
    for (site, number), layer in zip(ours.chip.graph.traced.arrays, ours.chip.layers, strict=True):
        weights = [value for key, value in module.state_dict().items() if key.startswith(f"{site}.weight")]
        theirs = weights[number] if len(weights) > 1 else weights[0]
        if hasattr(layer, "tile"):
            theirs = theirs.flatten(1)
            rows = layer.tile.outputs
            theirs = theirs if rows == len(theirs) else theirs[number * rows : (number + 1) * rows]
        own = layer.tile.twin() if hasattr(layer, "tile") else layer.weight
        torch.testing.assert_close(own, theirs.reshape(own.shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["np", "anp", "danp", "inp", "dbp"])
@pytest.mark.parametrize("name", ["resnet", "gru", "concatenated"])
def test_every_rule_trains_convolutional_and_recurrent_nets(name: str, rule: str) -> None:
    """Mean training loss of the second epoch, below that of the first."""
    path = ["update.path=adam", "update.learning_rate=0.01", "decorrelation.rate=0.001"]
    ours = trainer(name, *path, rule=rule, epochs=3)
    first = loss_of(ours)
    loss_of(ours)
    assert loss_of(ours) < first


@pytest.mark.parametrize("device", ["rram", "pcm", "ecram"])
def test_nets_train_on_real_devices(device: str) -> None:
    ours = trainer("resnet", "update.path=auto", "epochs=2", device=device, rule="danp")
    assert loss_of(ours) < 3.5
    loss_of(ours)


def test_node_perturbation_s_mean_signal_is_the_gradient_in_a_recurrent_net() -> None:
    """A tile that is read once a step gets the sum of what every step says; n draws leave |g| sqrt(units / n)."""
    module, data = made("gru")
    chip = build_traced(Device("ideal"), from_torch(module, torch.zeros(2, *SERIES)), seed=3)
    x, y = data.train_x[:1].repeat(4000, 1), data.train_y[:1].repeat(4000)
    seen = chip.observe(x, y, get_rule("np")[0], 1e-3)
    exact = chip.observe(x[:1], y[:1], get_rule("bp")[0])
    signals = torch.cat([signal.mean(0) for signal in get_rule("np")[0].signals(seen)])
    truth = torch.cat([gradient[0] for gradient in exact.gradient])
    units = len(truth)
    error = float((signals - truth).norm() / truth.norm())
    assert error == pytest.approx((units / 4000) ** 0.5, rel=0.3)


def test_a_recurrent_tile_is_read_once_a_step() -> None:
    traced = from_torch(Recurrent(nn.GRU), torch.zeros(2, *SERIES))
    places = [(read.site, read.number) for read in traced.reads]
    assert all(places.count(("rnn", number)) == 8 for number in range(4))
    assert places.count(("head", 0)) == 1
    assert str(traced).splitlines()[0] == "rnn: crossbar 18 x 8, 8 reads a sample"


def test_all_passes_of_a_batch_drop_the_same_units() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(192, 30), nn.Dropout(0.5), nn.Linear(30, 30), nn.Dropout(0.5), nn.Linear(30, 10)
    )
    chip = build_traced(Device("ideal"), from_torch(module, torch.zeros(2, 192)), seed=1)
    x, y = torch.randn(12, 192), torch.zeros(12, dtype=torch.int64)
    seen = chip.observe(x, y, get_rule("anp")[0], 1e-6)
    a = seen.pre_activations[1]
    assert float((a[0] - a[1]).abs().max()) < 1e-4
    again = chip.observe(x, y, get_rule("anp")[0], 1e-6).pre_activations[1]
    assert float((a[0] - again[0]).abs().max()) > 0.1
    assert torch.equal(chip.predict(x), chip.predict(x))


def test_batch_norm_s_running_statistics_are_the_baseline_s_and_pytorch_s() -> None:
    ours = trainer("resnet", "update.learning_rate=0.0001", rule="anp")
    module = made("resnet")[0].train()
    ours.chip.observe(*ours._batch(0, 0), get_rule("anp")[0], 1e-3)
    module(ours._batch(0, 0)[0].view(-1, *IMAGES))
    state = ours.chip.state()["graph"]["sites"]["stem.1"]
    theirs = module.state_dict()
    fresh = made("resnet")[0].state_dict()
    assert not torch.equal(state["mean"], fresh["stem.1.running_mean"])
    # the trainer has looked at this batch once to choose its perturbation, so statistics moved twice
    twice = 1 - 0.9 ** float(state["seen"])
    torch.testing.assert_close(
        state["mean"], theirs["stem.1.running_mean"] / 0.1 * twice, rtol=1e-3, atol=1e-5
    )


def test_the_module_and_the_global_generator_are_left_alone() -> None:
    module = ResNet8()
    before, draws = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    traced = from_torch(module, torch.zeros(2, *IMAGES))
    chip = build_traced(Device("rram"), traced)
    chip.observe(torch.randn(4, 192), torch.zeros(4, dtype=torch.int64), get_rule("anp")[0])
    torch.set_rng_state(draws)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert module.blocks[0].relu.inplace


# Refusals.


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attend(x, x, x)[0][:, 0])


class OwnNumbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1)) * self.scale


class Deciding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1)) if x.sum() > 0 else self.head(-x.flatten(1))


class Mixing(Deciding):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x - x.mean(0)).flatten(1))


class Drawing(Deciding):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x + torch.randn_like(x)).flatten(1))


class Fixed(Deciding):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.reshape(3, 64))


class TwoSizes(Deciding):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.shared(x).flatten(1)) + self.shared(x[:, 0]).repeat(1, 2)[:, :10]


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (Attention(), r"attend \(MultiheadAttention\) holds numbers and is not known"),
        (OwnNumbers(), r"OwnNumbers\.scale is used outside a module"),
        (Deciding(), r"Deciding cannot be traced.*decide by values"),
        (Mixing(), "depend on the other samples"),
        (Drawing(), r"randn_like in Drawing draws numbers"),
        (Fixed(), r"fails for an input of shape \[1, 8, 8\]|depend on the other"),
        (TwoSizes(), "is called for 8 and for 1 vectors"),
        (nn.Sequential(nn.Flatten(), nn.ReLU()), "no weight to lay on a tile"),
        (nn.Linear(8, 10), r"gives \[3, 8, 10\] for 3 samples"),
        (
            nn.Sequential(nn.Conv1d(8, 4, 3, padding_mode="circular"), nn.Flatten(), nn.Linear(24, 10)),
            "padding_mode",
        ),
        (nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), r"fails for an input of shape"),
        (
            nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, 10)),
            "other samples|track",
        ),
        (nn.GRU(8, 10, batch_first=False), "batch_first"),
        (nn.GRU(8, 10, batch_first=True, bidirectional=True), "bidirectional"),
    ],
)
def test_what_cannot_be_taken_is_named_with_its_place(module: nn.Module, told: str) -> None:
    with pytest.raises(UsageError, match=f"^network: .*(?:{told})"):
        from_torch(module, torch.zeros(2, *SERIES))


def test_what_is_no_module_or_no_batch_is_refused() -> None:
    with pytest.raises(UsageError, match=r"give a torch\.nn\.Module, got str"):
        from_torch("resnet", torch.zeros(2, 3))
    with pytest.raises(UsageError, match="samples first"):
        from_torch(nn.Linear(2, 2), torch.zeros(2))


# What would be trained otherwise than PyTorch trains it.


class Net(nn.Module):
    """Two layers, parts of one's own, and a forward of one's own."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 10)
        for name, part in parts.items():
            setattr(self, name, part)
        self.own = forward

    def forward(self, x: torch.Tensor) -> Any:
        return self.own(self, x)


def plain(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.b(net.a(x))


def changed(change: Callable[[Any], Any], **parts: Any) -> nn.Module:
    """A net of two layers, after something was done to it."""
    net = Net(plain, **parts)
    change(net)
    return net


def without_gradient(net: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        h = net.a(x)
    return net.b(h)


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


def overwritten(net: Any, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    F.relu_(h)
    return net.b(h)


def assigned(net: Any, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    h[:, 0] = 0
    return net.b(h)


def asks_for_training(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.b(net.a(x) * (2 if net.training else 1))


def drops_paths(net: Any, x: torch.Tensor) -> torch.Tensor:
    h = net.a(x)
    if net.training:
        h = h * h.new_empty((h.shape[0], 1)).bernoulli_(0.8)
    return net.b(h)


class Random(nn.Module):
    """Draws in training by a generator that torch does not know."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * random.random() if self.training else x


def evaluated_but_for(name: str) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        net.eval()
        getattr(net, name).train()

    return change


def weight_norm(net: Any) -> None:
    nn.utils.parametrizations.weight_norm(net.a)


def square(net: Any) -> None:
    net.c.weight = net.a.weight


def views(net: Any) -> None:
    net.c.weight = nn.Parameter(net.a.weight.data.t())


OTHERWISE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "result unused": (
        lambda: Net(overwritten),
        r"relu_ in Net changes values in place that b uses afterwards",
    ),
    "used again": (
        lambda: Net(lambda n, x: n.b((h := n.a(x)) + torch.relu_(h) + h)),
        r"relu_ in Net changes values in place that add uses afterwards",
    ),
    "module in place": (
        lambda: Net(lambda n, x: (h := n.a(x), n.c(h), n.b(h))[2], c=nn.ReLU(inplace=True)),
        r"c in Net changes values in place that b uses afterwards",
    ),
    "item": (lambda: Net(assigned), r"item assignment.*torch\.where"),
    "out": (lambda: Net(lambda n, x: n.b(torch.add(n.a(x), 1, out=x))), r"add in Net writes into out="),
    "zero_": (lambda: Net(lambda n, x: n.b(n.a(x).zero_() + x)), r"zero_ in Net overwrites values; make new"),
    "copy_": (lambda: Net(lambda n, x: n.b(n.a(x).copy_(x))), r"copy_ in Net overwrites values; make new"),
    "uniform_": (lambda: Net(lambda n, x: n.b(x + n.a(x).uniform_())), r"uniform_ in Net draws numbers"),
    "frozen": (lambda: changed(lambda n: n.a.weight.requires_grad_(False)), r"a\.weight is frozen"),
    "no_grad": (lambda: Net(without_gradient), r"a in Net is computed without a gradient"),
    "autograd": (
        lambda: Net(lambda n, x: n.b(StraightThrough.apply(n.a(x)))),
        r"round in Net is computed without",
    ),
    "detach": (lambda: Net(lambda n, x: n.b(n.a(x).detach())), r"detach in Net stops gradients"),
    "data": (lambda: Net(lambda n, x: n.b(n.a(x).data)), r"data in Net stops gradients"),
    "modes": (
        lambda: changed(evaluated_but_for("c"), c=nn.BatchNorm1d(8)),
        r"c \(BatchNorm1d\) is in training mode, and Net is not",
    ),
    "training": (lambda: Net(asks_for_training), r"may ask for self\.training"),
    "paths": (lambda: Net(drops_paths), r"bernoulli_ in Net draws numbers"),
    "drawn elsewhere": (
        lambda: Net(lambda n, x: n.b(n.c(n.a(x))), c=Random()),
        r"other outputs each time it is called in training|does not give what the module gives",
    ),
    "constant": (lambda: Net(lambda n, x: n.b(n.a(x) + torch.rand(8))), "other outputs each time"),
    "alpha": (
        lambda: Net(lambda n, x: n.b(n.c(n.a(x))), c=nn.AlphaDropout()),
        r"c \(AlphaDropout\) draws numbers.*nn\.Dropout",
    ),
    "rrelu": (lambda: Net(lambda n, x: n.b(n.c(n.a(x))), c=nn.RReLU()), r"c \(RReLU\) draws numbers"),
    "gumbel": (lambda: Net(lambda n, x: n.b(F.gumbel_softmax(n.a(x)))), r"gumbel_softmax in Net draws"),
    "always dropped": (lambda: Net(lambda n, x: n.b(F.dropout(n.a(x)))), r"training=self\.training"),
    "tied": (lambda: changed(square, c=nn.Linear(8, 8)), r"c\.weight and a\.weight are one weight"),
    "turned": (lambda: changed(views, c=nn.Linear(8, 8)), r"c\.weight and a\.weight are one weight"),
    "weight norm": (lambda: changed(weight_norm), r"a \(ParametrizedLinear\): weight is.*remove_parametriz"),
    "pruned": (
        lambda: changed(lambda n: prune.l1_unstructured(n.a, "weight", 0.5)),
        r"a \(Linear\) has hooks.*prune\.remove",
    ),
    "hook": (lambda: changed(lambda n: n.register_forward_hook(lambda *_: None)), "Net has hooks"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(10)), r"0 \(LazyLinear\) has no size yet"),
    "two": (lambda: Net(lambda n, x: (n.b(x), x)), "gives 2 values in a tuple"),
    "dict": (lambda: Net(lambda n, x: {"y": n.b(x)}), "gives a dict for 3 samples"),
    "meta": (lambda: Net(plain).to("meta"), r"a\.weight is on the meta device"),
    "complex": (lambda: Net(plain).to(torch.complex64), r"a\.weight holds torch\.complex64"),
    "embedding": (
        lambda: Net(lambda n, x: n.b(n.c(x.long())), c=nn.Embedding(5, 8)),
        r"c \(Embedding\) holds numbers and is not known",
    ),
    "list": (lambda: nn.ModuleList([nn.Linear(8, 10)]), "ModuleList has no forward"),
    "lock": (lambda: Net(plain, lock=threading.Lock()), "Net cannot be copied"),
    "time first": (
        lambda: Net(lambda n, x: n.b(n.a(x.view(-1, 4, 2).transpose(0, 1).reshape(-1, 8)).view(-1, 8))),
        "depend on the other samples|not sorted by samples|in its first dimension",
    ),
    "two in training": (
        lambda: Net(lambda n, x: (n.b(n.a(x)), x) if n.training else n.b(n.a(x))),
        r"may ask for self\.training",
    ),
    "whole samples": (
        lambda: Net(lambda n, x: n.b(n.c(n.a(x))), c=nn.Dropout1d(0.5)),
        r"c \(Dropout1d\): gets \[samples, units\], of which PyTorch drops whole samples",
    ),
    "integers": (lambda: Net(lambda n, x: n.b(n.a(x)).argmax(1, keepdim=True)), "gives torch.int64"),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_pytorch_would_train_otherwise_is_refused_in_one_line(name: str) -> None:
    make, told = OTHERWISE[name]
    with pytest.raises(UsageError, match=f"^network: .*(?:{told})") as refusal:
        from_torch(make(), torch.zeros(2, 8))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("norm", "act"), [(nn.BatchNorm1d, nn.ReLU), (nn.LayerNorm, nn.Hardtanh)])
def test_rounding_that_grows_in_a_deep_net_is_not_taken_for_a_difference(
    norm: type[nn.Module], act: type[nn.Module]
) -> None:
    torch.manual_seed(0)
    layers = [part for _ in range(40) for part in (nn.Linear(64, 64), norm(64), act())]
    assert from_torch(nn.Sequential(*layers, nn.Linear(64, 10)), torch.zeros(2, 64)).outputs == 10


class Named(nn.Linear):
    """A layer of one's own that only has more to say about itself."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.title = "mine"


def by_keyword(net: Any, x: torch.Tensor) -> torch.Tensor:
    return net.b(input=net.c(hx=torch.tanh(x), input=x))


def test_subclasses_that_keep_forward_and_arguments_by_keyword_are_taken() -> None:
    traced = from_torch(Net(by_keyword, b=Named(8, 10), c=nn.RNNCell(8, 8)), torch.zeros(2, 8))
    assert {read.site for read in traced.reads} == {"b", "c"}
    assert from_torch(Named(8, 10), torch.zeros(2, 8)).outputs == 10


class Starred(nn.Linear):
    def forward(self, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
        return x


def test_a_forward_of_more_than_one_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"forward takes x, \*more; one input"):
        from_torch(Starred(8, 10), torch.zeros(2, 8))


def time_first(net: Any, x: torch.Tensor) -> torch.Tensor:
    b, t, d = x.shape
    h = net.a(x.transpose(0, 1).reshape(t * b, d))
    return net.b(h.view(t, b, d).mean(0))


def test_values_that_are_sorted_by_time_before_samples_are_refused() -> None:
    with pytest.raises(UsageError, match=r"a \(Linear\) gets values that are not sorted by samples"):
        from_torch(Net(time_first), torch.zeros(2, *SERIES))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_every_precision_are_taken_in_single_precision(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    module = Net(plain).to(kind)
    one = from_torch(module, torch.zeros(2, 8))
    assert one.sites["a"].arrays[0].weight.dtype == torch.float32
    assert one.content == from_torch(copy.deepcopy(module).float(), torch.zeros(2, 8)).content


def test_a_network_in_evaluation_is_one_to_be_trained_and_its_functional_dropout_is_a_module_s() -> None:
    torch.manual_seed(0)
    by_function = Net(lambda n, x: n.b(F.dropout(n.a(x), 0.5, n.training)))
    by_module = Net(lambda n, x: n.b(n.c(n.a(x))), c=nn.Dropout(0.5))
    by_module.load_state_dict(by_function.state_dict())
    x, y = torch.randn(12, 8), torch.zeros(12, dtype=torch.int64)
    seen = []
    for module in (by_function, by_function.eval(), by_module):
        chip = build_traced(Device("ideal"), from_torch(module, torch.zeros(2, 8)), seed=1)
        seen.append(chip.observe(x, y, get_rule("anp")[0], 1e-6).pre_activations[1])
        assert torch.equal(chip.predict(x), chip.predict(x))
    assert float((seen[0][0] - seen[0][1]).abs().max()) < 1e-4
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_a_dropout_in_evaluation_drops_nothing_in_training() -> None:
    module = Net(lambda n, x: n.b(n.c(n.a(x))), c=nn.Dropout(0.5))
    module.c.eval()
    chip = build_traced(Device("ideal"), from_torch(module, torch.zeros(2, 8)))
    x = torch.randn(4, 8)
    seen = chip.observe(x, torch.zeros(4, dtype=torch.int64), get_rule("anp")[0], 1e-6)
    torch.testing.assert_close(seen.pre_activations[1][0], module(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("act", "slope"),
    [
        (lambda n, h: F.leaky_relu(h, 0.1), 0.1),
        (lambda n, h: F.leaky_relu_(h, 0.2), 0.2),
        (lambda n, h: torch.nn.functional.hardtanh(h, -9.0, 9.0), 1.0),
        (lambda n, h: F.relu(input=h), 0.0),
        (lambda n, h: h.relu(), 0.0),
        (lambda n, h: n.c(h), 0.3),
        (lambda n, h: h + torch.relu(h), 1.0),
        (lambda n, h: torch.relu(n.b(h)[:, :8]), 1.0),
    ],
)
def test_a_slope_is_that_of_the_activation_which_alone_is_behind_a_place(
    act: Callable[[Any, torch.Tensor], torch.Tensor], slope: float
) -> None:
    module = Net(lambda n, x: n.b(act(n, n.a(x))), c=nn.LeakyReLU(0.3))
    graph = build_traced(Device("ideal"), from_torch(module, torch.zeros(2, 8))).graph
    torch.testing.assert_close(graph.slope(0, torch.tensor([[-1.0, 2.0]])), torch.tensor([[slope, 1.0]]))


def test_slopes_lie_behind_norms_and_not_behind_the_gates_of_recurrent_cells() -> None:
    module = Net(
        lambda n, x: n.b(torch.relu(n.n(n.a(torch.relu(n.c(x)))))), c=nn.GRUCell(8, 8), n=nn.BatchNorm1d(8)
    )
    traced = from_torch(module, torch.zeros(2, 8))
    graph = build_traced(Device("ideal"), traced).graph
    below = torch.tensor([[-1.0]])
    slopes = {read.site: float(graph.slope(place, below)) for place, read in enumerate(traced.reads)}
    assert slopes == {"c": 1.0, "a": 1.0, "n": 0.0, "b": 1.0}


def test_other_settings_are_other_content_and_the_same_ones_are_not() -> None:
    def content(make: Callable[[], nn.Module], shape: tuple[int, ...] = IMAGES) -> str:
        torch.manual_seed(0)
        return from_torch(make(), torch.zeros(2, *shape)).content

    def pooled(**options: Any) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.AvgPool2d(2, padding=1, **options),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 10),
        )

    def powered(power: float) -> Callable[[], nn.Module]:
        return lambda: Net(lambda n, x: n.b(n.a(x.mean(1)) * n.power), power=power)

    makes = [
        *(pooled(), pooled(ceil_mode=True), pooled(count_include_pad=False)),
        *(lambda: ResNet8(), networks.HalfFrozen),
        *(lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(192, 10)),),
        *(lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(192, 10)),),
    ]
    found = [content(make) for make in makes] + [
        content(powered(value), SERIES) for value in (1.5, 1.5000001)
    ]
    found.append(content(pooled(), (3, 10, 10)))
    assert len(set(found)) == len(found)
    assert found[:3] == [content(make) for make in makes[:3]]
    assert content(lambda: ResNet8().eval()) == content(ResNet8)


class WeightPerturbation(Rule):
    name = "wp"
    knows = frozenset({Knows.INJECTED_WEIGHTS})

    def probes(self, layers: int) -> tuple[tuple[bool, ...], ...]:
        return ((False,) * layers,)

    def weight_probes(self, layers: int) -> tuple[tuple[bool, ...], ...]:
        return ((True,) * layers,)


def test_weight_perturbation_s_mean_change_is_the_gradient_with_norms_and_layers_called_twice() -> None:
    """E[dL xi] / std^2 = dL/dW; n draws leave |g| sqrt(weights / n), where changes are summed over a layer's places."""
    torch.manual_seed(0)
    module = Net(lambda n, x: n.b(torch.tanh(n.c(n.a(torch.tanh(n.c(n.a(x))))))), c=nn.LayerNorm(8))
    traced = from_torch(module, torch.zeros(2, 8))
    chip = build_traced(Device("ideal"), traced, seed=3)
    x, y, draws = torch.randn(16, 8), torch.arange(16) % 10, 2000
    total = [torch.zeros(layer.shape.outputs, layer.shape.inputs) for layer in chip.layers]
    for _ in range(draws):
        seen = chip.observe(x, y, WeightPerturbation(), 1e-3)
        rise = (seen.losses[1] - seen.losses[0]).mean() / 1e-3**2
        assert seen.injected is not None
        for number, noise in zip(chip.graph.places, seen.injected.weights, strict=True):
            total[number] += rise * noise[0] / draws
    F.cross_entropy(module(x), y).backward()
    found = torch.cat([one.flatten() for one in total])
    truth = torch.cat([module.get_parameter(f"{site}.weight").grad.flatten() for site, _ in traced.arrays])
    assert float((found - truth).norm() / truth.norm()) == pytest.approx(
        (len(truth) / draws) ** 0.5, rel=0.25
    )


# Runs and cards.

FILE = """
import torch
from torch import nn

class MyNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width * 16, 10)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        x = nn.functional.max_pool2d(x, 2)
        return self.head(self.drop(x.flatten(1)))
"""
SMALL = ["epochs=2", "batch=300", "update.path=adam", "update.learning_rate=0.01"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(foreign, "_allowed", set())
    monkeypatch.setattr(foreign, "_everything", False)
    path = tmp_path / "my_net.py"
    path.write_text(FILE)
    return path


def losses(out: Path, network: Any, *sets: str, **given: Any) -> list[float]:
    run = noisyhw.train(device="ideal", rule="danp", network=network, sets=[*SMALL, *sets], out=out, **given)
    return list(run.metrics["train_loss"])


def test_a_module_from_a_file_trains_and_its_seed_draws_its_first_weights(file: Path, tmp_path: Path) -> None:
    one = losses(tmp_path / "one", f"{file}:MyNet")
    assert one[-1] < one[0]
    assert losses(tmp_path / "same", str(file)) == one
    assert losses(tmp_path / "seed", str(file), seed=1) != one
    assert losses(tmp_path / "wide", str(file), "network.arguments={width: 4}") != one


def test_a_run_with_norms_and_dropout_is_resumed_with_the_same_bits(file: Path, tmp_path: Path) -> None:
    whole = losses(tmp_path / "whole", str(file), "epochs=3")
    losses(tmp_path / "cut", str(file), "epochs=3", pause_after=1)
    assert list(noisyhw.resume(tmp_path / "cut", trust=True).metrics["train_loss"]) == whole


def test_an_edited_module_file_is_another_run_and_does_not_go_on(file: Path, tmp_path: Path) -> None:
    options = {"device": "ideal", "network.module": f"{file}:MyNet"}
    before = resolve(load_experiment(None, options)).identity("d", "c")
    losses(tmp_path / "cut", str(file), pause_after=1)
    file.write_text(FILE.replace("0.1", "0.2"))
    assert resolve(load_experiment(None, options)).identity("d", "c") != before
    with pytest.raises(UsageError, match="code of MyNet has changed"):
        noisyhw.resume(tmp_path / "cut", trust=True)


def test_two_modules_of_one_file_are_two_runs(file: Path, tmp_path: Path) -> None:
    file.write_text(FILE + "\n\nclass Other(MyNet):\n    pass\n")
    ids = {
        resolve(load_experiment(None, {"device": "ideal", "network.module": f"{where}:{name}"})).identity(
            "d", "c"
        )
        for name in ("MyNet", "Other")
        for where in (file, shutil.copy(file, tmp_path / "moved.py"))
    }
    assert len(ids) == 2


LOADS = FILE.replace(
    "    def forward",
    """        stored = Path(__file__).with_name("weights.pt")
        self.head.load_state_dict(torch.load(stored))

    def forward""",
).replace("import torch\n", "from pathlib import Path\nimport torch\n", 1)


def test_weights_that_a_module_loads_are_part_of_a_run_s_identity(file: Path, tmp_path: Path) -> None:
    file.write_text(LOADS)
    options = {"device": "ideal", "network.module": f"{file}:MyNet"}

    def identity(seed: int) -> str:
        torch.manual_seed(seed)
        torch.save(nn.Linear(128, 10).state_dict(), tmp_path / "weights.pt")
        return resolve(load_experiment(None, options)).identity("d", "c")

    foreign.allow(file)
    one = identity(0)
    losses(tmp_path / "cut", str(file), pause_after=1)
    assert identity(0) == one
    assert identity(1) != one
    with pytest.raises(UsageError, match="what it loads, and does not draw with its seed, has changed"):
        noisyhw.resume(tmp_path / "cut", trust=True)


def test_a_card_s_module_runs_only_where_it_is_trusted(file: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.yaml"
    card.write_text("device: ideal\nnetwork: {module: my_net.py:MyNet, arguments: {width: 4}}\nepochs: 1\n")
    with pytest.raises(UsageError, match=r"^network: .*not run unasked"):
        noisyhw.train(card, out=tmp_path / "run")
    assert noisyhw.train(card, out=tmp_path / "run", sets=["batch=900"], trust=True).status == "done"


def test_a_module_object_trains_and_is_named_by_its_graph_and_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    one = losses(tmp_path / "one", module)
    assert losses(tmp_path / "same", from_torch(module, torch.zeros(2, 64))) == one
    with torch.no_grad():
        module[0].bias[0] += 1
    options = [{"device": "ideal", "network": card_of(one)} for one in (module, copy.deepcopy(module))]
    same, other = (resolve(load_experiment(None, one)).identity("d", "c") for one in options)
    assert same == other
    assert losses(tmp_path / "other", module) != one


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["network.hidden=[8]"], r"network\.hidden: a module brings its own"),
        (["network.bias=false"], r"network\.bias: a module brings its own"),
        (["network.input=[3, 3]"], r"network\.input: \[3, 3\] has 9 values, and a sample of the task 64"),
        (["network.arguments={wide: 3}"], r"MyNet\(wide=3\) fails: TypeError"),
    ],
)
def test_fields_that_do_not_fit_a_module_are_refused(
    file: Path, tmp_path: Path, sets: list[str], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        losses(tmp_path / "run", str(file), *sets)


def test_outputs_that_do_not_fit_the_task_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives 7 outputs, and the task has 10"):
        losses(tmp_path / "run", nn.Linear(64, 7))


def test_a_stack_takes_no_module(file: Path) -> None:
    from noisyhw.batched import why_not

    options = {"device": "ideal", "network.module": f"{file}:MyNet"}
    runs = [resolve(load_experiment(None, options | {"seed": seed})) for seed in (0, 1)]
    assert "network.module" in str(why_not(runs))
