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
