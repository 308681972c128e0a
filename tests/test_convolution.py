"""A convolution is one tile read once a patch: equal to torch's, on any device, with any rule."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from support import make_card

from noisyhw import Device, UsageError, build_chip, get_rule, load_experiment
from noisyhw.cards.experiment import Convolution, Network
from noisyhw.chip.chip import Chip
from noisyhw.chip.patches import Patches
from noisyhw.tasks import get_task
from noisyhw.training.resolve import resolve
from noisyhw.training.trainer import Trainer

CONV = (
    Convolution(channels=4, kernel=3, stride=2, padding=1),
    Convolution(channels=5, kernel=2, stride=1),
)
IMAGE = (3, 8, 7)


def conv_chip(card: dict[str, object] | None = None, decorrelated: bool = False) -> Chip:
    network = Network(conv=CONV)
    return build_chip(
        Device(make_card(**(card or {}))), (168, 6, 3), network, decorrelated=decorrelated, image=IMAGE
    )


def images(samples: int = 5) -> torch.Tensor:
    return torch.randn(samples, 168, generator=torch.Generator().manual_seed(1))


def torch_forward(chip: Chip, x: torch.Tensor) -> list[torch.Tensor]:
    """The same network by torch's own convolution; pre-activations flat, channels last."""
    values, found = x.view(-1, *IMAGE), []
    for layer, conv in zip(chip.layers, CONV, strict=False):
        assert layer.patches is not None
        kernel = layer.tile.twin().view(conv.channels, conv.kernel, conv.kernel, layer.patches.channels)
        a = F.conv2d(values, kernel.permute(0, 3, 1, 2), layer.bias, conv.stride, conv.padding)
        found.append(a.permute(0, 2, 3, 1).flatten(1))
        values = F.leaky_relu(a, 0.2)
    flat = values.permute(0, 2, 3, 1).flatten(1)
    for layer in chip.layers[2:]:
        a = F.linear(flat, layer.tile.twin(), layer.bias)
        found.append(a)
        flat = F.leaky_relu(a, 0.2)
    return found


def test_a_convolution_on_an_ideal_device_equals_torchs() -> None:
    chip = conv_chip()
    seen = chip.observe(images(), torch.zeros(5, dtype=torch.int64), get_rule("anp")[0], 1e-3)
    for ours, theirs in zip(seen.pre_activations, torch_forward(chip, images()), strict=True):
        torch.testing.assert_close(ours[0], theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("stride", "padding", "kernel"), [(1, 0, 3), (2, 1, 3), (3, 2, 4), (1, 0, 1)])
def test_patches_are_cut_as_torch_unfolds(stride: int, padding: int, kernel: int) -> None:
    cut = Patches(*IMAGE, kernel, stride, padding, channels_first=True)
    ours = cut.cut(images()[None])[0].view(5, cut.count, cut.size)
    theirs = F.unfold(images().view(5, *IMAGE), kernel, padding=padding, stride=stride)
    by_channel = theirs.transpose(1, 2).view(5, cut.count, IMAGE[0], kernel * kernel)
    assert torch.equal(ours, by_channel.transpose(2, 3).flatten(2))


def test_bps_update_of_a_convolution_is_torchs_gradient() -> None:
    chip = conv_chip()
    target = torch.tensor([0, 1, 2, 0, 1])
    rule, _ = get_rule("bp")
    seen = chip.observe(images(), target, rule)
    kernels = [layer.tile.twin().requires_grad_() for layer in chip.layers]
    loss = F.cross_entropy(plain_forward(chip, kernels, images()), target)
    expected = torch.autograd.grad(loss, kernels)
    for layer, inputs, signal, gradient in zip(
        chip.layers, seen.inputs, rule.signals(seen), expected, strict=True
    ):
        x, d = layer.factors(inputs, signal)
        torch.testing.assert_close(d.t() @ x / x.shape[0], gradient, rtol=1e-4, atol=1e-6)


def plain_forward(chip: Chip, kernels: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    values = x.view(-1, *IMAGE)
    for layer, conv, weight in zip(chip.layers, CONV, kernels, strict=False):
        assert layer.patches is not None
        kernel = weight.view(conv.channels, conv.kernel, conv.kernel, layer.patches.channels)
        values = F.leaky_relu(
            F.conv2d(values, kernel.permute(0, 3, 1, 2), layer.bias, conv.stride, conv.padding), 0.2
        )
    hidden = F.linear(values.permute(0, 2, 3, 1).flatten(1), kernels[2], chip.layers[2].bias)
    return F.linear(F.leaky_relu(hidden, 0.2), kernels[3], chip.layers[3].bias)


def test_every_patch_is_a_read_with_noise_of_its_own() -> None:
    chip = conv_chip({"read_noise": {"white": {"std": 0.1}}})
    seen = chip.observe(images(40), torch.zeros(40, dtype=torch.int64), get_rule("anp")[0])
    difference = (seen.pre_activations[0][1] - seen.pre_activations[0][0]).flatten()
    n = difference.numel()
    assert abs(difference.std().item() - 0.1 * 2**0.5) < 5 * 0.1 * 2**0.5 / (2 * n) ** 0.5
    assert torch.corrcoef(difference.view(-1, 4).t()).fill_diagonal_(0).abs().max() < 5 / (n / 4) ** 0.5


def test_decorrelation_acts_on_patches() -> None:
    chip = conv_chip(decorrelated=True)
    sizes = [layer.r.shape[0] for layer in chip.layers if layer.r is not None]
    assert sizes == [27, 16, chip.layers[2].tile.inputs, 6]


@pytest.mark.parametrize(
    ("device", "rule"),
    [("ideal", "danp"), ("rram", "danp"), ("pcm", "danp"), ("ideal", "dinp"), ("smtj", "np")],
)
def test_a_small_convnet_learns_digits_on_any_device(device: str, rule: str) -> None:
    sets = ["network.conv=[{channels: 8, kernel: 3}]", "network.hidden=[32]", "batch=100"]
    experiment = resolve(load_experiment(options={"device": device, "rule": rule, "epochs": 3}, sets=sets))
    trainer = Trainer(experiment, get_task("digits").load())
    rows = []
    while not trainer.finished:
        rows.append(trainer.step())
    losses = [row.train_loss for row in rows if row is not None]
    assert losses[-1] < losses[0]


def test_convolutions_are_refused_where_the_inputs_are_no_images() -> None:
    with pytest.raises(UsageError, match=r"network\.conv: .*no images"):
        build_chip(Device("ideal"), (21, 7), Network(conv=CONV))


def test_a_patch_that_does_not_fit_is_refused_with_both_sizes() -> None:
    with pytest.raises(UsageError, match=r"network\.conv\.0\.kernel: a 9x9 patch .* 8x8"):
        build_chip(
            Device("ideal"), (64, 10), Network(conv=(Convolution(channels=2, kernel=9),)), image=(1, 8, 8)
        )


def test_many_patches_are_read_part_by_part_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    card = make_card(periphery={"input_scaling": "max", "dac": {"bits": 7, "range": 1.0}})
    reads = [conv_chip(card.model_dump(exclude_defaults=True)).predict(images(40))]
    monkeypatch.setattr("noisyhw.tiles.analog.PART", 1 << 10)
    reads.append(conv_chip(card.model_dump(exclude_defaults=True)).predict(images(40)))
    torch.testing.assert_close(*reads)
