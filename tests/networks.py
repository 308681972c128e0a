"""Small networks of every kind that is known, as people write them."""

from __future__ import annotations

import torch
from torch import nn


class Residual(nn.Module):
    """A basic block, with the shortcut of He et al. where sizes change; adds in place, as torchvision does."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.down = None
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x + f(x)."""
        identity = x if self.down is None else self.down(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet8(nn.Module):
    """A stem and two residual blocks."""

    def __init__(self, channels: int = 3, width: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.blocks = nn.Sequential(Residual(width, width), Residual(width, 2 * width, 2))
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over the image at last."""
        x = self.blocks(self.stem(x))
        x = nn.functional.adaptive_avg_pool2d(x, 1)
        return self.head(torch.flatten(x, 1))


class Recurrent(nn.Module):
    """Two layers of a recurrent module; the last step's output is read."""

    def __init__(self, kind: type[nn.RNNBase] = nn.GRU, inputs: int = 8, width: int = 6) -> None:
        super().__init__()
        self.rnn = kind(inputs, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All steps, then the head."""
        outputs, _ = self.rnn(x)
        return self.head(outputs[:, -1])


class Stepped(nn.Module):
    """A cell in a loop that its author wrote."""

    def __init__(self, kind: type[nn.RNNCellBase] = nn.GRUCell, steps: int = 8) -> None:
        super().__init__()
        self.cell, self.head, self.steps = kind(8, 5), nn.Linear(5, 10), steps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Step by step."""
        state = None
        for step in range(self.steps):
            state = self.cell(x[:, step], state)
        h = state[0] if isinstance(self.cell, nn.LSTMCell) else state
        return self.head(h)


class Concatenated(nn.Module):
    """Two ways whose channels are laid beside each other, one of them in groups; functions in place of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 1))
        self.grouped = nn.Conv2d(3, 6, (1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2), groups=3)
        self.norm = nn.GroupNorm(2, 10)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(10 * 2 * 4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Beside each other."""
        x = torch.cat([torch.tanh(self.wide(x)), nn.functional.leaky_relu(self.grouped(x), 0.1)], 1)
        x = self.pool(self.norm(x))
        return self.head(x.view(x.size(0), -1))


class SqueezeExcite(nn.Module):
    """Depthwise separable convolutions whose channels are weighed by their means; a mean is taken off the input."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
        self.deep = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        self.point, self.norm = nn.Conv2d(3, width, 1, bias=False), nn.BatchNorm2d(width)
        self.weigh = nn.Sequential(
            nn.Linear(width, 4), nn.ReLU(inplace=True), nn.Linear(4, width), nn.Sigmoid()
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As it is written mostly."""
        x = nn.functional.relu6(self.norm(self.point(self.deep(x - self.mean))), inplace=True)
        b, c, _, _ = x.size()
        y = self.weigh(nn.functional.adaptive_avg_pool2d(x, 1).view(b, c)).view(b, c, 1, 1)
        return self.head((x * y.expand_as(x)).mean((2, 3)))


class UNet(nn.Module):
    """Down, up, and the way beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(True))
        self.deep = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.up, self.head = nn.Conv2d(12, 4, 3, padding=1), nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Laid beside each other at the size of the input."""
        x = self.down(x)
        y = nn.functional.interpolate(
            self.deep(nn.functional.max_pool2d(x, 2)), scale_factor=2, mode="bilinear"
        )
        x = nn.functional.elu_(self.up(torch.cat([x, y], 1)), 0.7)
        return self.head(x.mean([-2, -1]))


class Transformer(nn.Module):
    """One block, with attention to what came before; norms and heads as in GPT."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("mask", torch.tril(torch.ones(8, 8)), persistent=False)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))
        self.head = nn.Linear(width, 10)

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Softmax over what came before."""
        b, t, d = x.shape
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k, v = (one.view(b, t, self.heads, -1).transpose(1, 2) for one in (q, k, v))
        a = (q @ k.transpose(-2, -1) / 2).masked_fill(self.mask == 0, float("-inf"))
        return self.out((nn.functional.softmax(a, -1) @ v).transpose(1, 2).contiguous().view(b, t, d))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two residual parts, with positions that are not learnt."""
        x = x + torch.sin(torch.arange(8.0))[:, None]
        x = x + self.attend(self.norms[0](x))
        x = x + self.mlp(self.norms[1](x))
        return self.head(x.mean(1))


class Twice(nn.Module):
    """One batch norm behind two layers; functions in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(64, 16), nn.Linear(16, 16), nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The norm sees other values at its second call."""
        x = nn.functional.leaky_relu_(self.norm(self.a(x.flatten(1))), 0.1)
        return self.head(torch.tanh_(self.norm(3 * self.b(x))))


class Folded(nn.Module):
    """A convolutional net for each step, its steps folded into the batch; then a recurrent encoder and decoder."""

    def __init__(self, kind: type[nn.RNNBase] = nn.GRU) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(1, 4, 3, stride=2), nn.BatchNorm1d(4)
        self.encode = kind(12, 5, num_layers=2, batch_first=True)
        self.decode = kind(12, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Steps are taken backward by the decoder, from the encoder's last states."""
        b, t, d = x.shape
        x = torch.relu(self.norm(self.conv(x.reshape(b * t, 1, d)))).view(b, t, -1)
        y, _ = self.decode(x.flip(1), self.encode(x)[1])
        return self.head(y[:, -1])


class HalfFrozen(ResNet8):
    """Its first norm stays in evaluation, whatever is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.stem[1].running_mean.fill_(0.1)
        self.stem[1].running_var.fill_(2.0)
        self.train()

    def train(self, mode: bool = True) -> HalfFrozen:
        """All but the first norm."""
        super().train(mode)
        self.stem[1].eval()
        return self


def mlp() -> nn.Module:
    """Fully connected, with layer norm, and every kind of activation."""
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(192, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 12)),
        *(nn.Sigmoid(), nn.Linear(12, 12), nn.Hardtanh(), nn.Linear(12, 12), nn.LeakyReLU(0.2)),
        nn.Linear(12, 10),
    )


def same_padded() -> nn.Module:
    """A convolution in one dimension and one with padding 'same'."""
    return nn.Sequential(
        nn.Conv2d(3, 4, (2, 3), padding="same"),
        nn.ReLU(),
        nn.Flatten(2),
        nn.Conv1d(4, 5, 3, stride=2, padding=1),
        nn.BatchNorm1d(5),
        nn.AvgPool1d(2),
        nn.Flatten(),
        nn.Linear(5 * 16, 10),
    )
