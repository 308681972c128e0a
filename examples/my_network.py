"""A torch.nn.Module of one's own, on arrays of one's own: python examples/my_network.py [--epochs 30].

A small residual convolutional net with batch norm: its convolutions and its last layer lie on crossbars of the device,
all else is digital. The arrays are scikit-learn's digits, as anybody's would be given.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import noisyhw


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))

    def forward(self, x):
        y = torch.relu(self.norms[0](self.first(x)))
        return torch.relu(x + self.norms[1](self.second(y)))


class SmallResNet(nn.Module):
    def __init__(self, width=8, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.block, self.pool = Block(width), nn.AvgPool2d(2)
        self.head = nn.Linear(width * 16, classes)

    def forward(self, x):
        return self.head(self.pool(self.block(torch.relu(self.stem(x)))).flatten(1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", default="runs/examples/my_network")
    given = parser.parse_args()
    pixels, labels = load_digits(return_X_y=True)
    data = noisyhw.Data.from_arrays(pixels.reshape(-1, 1, 8, 8) / 16, labels, test=0.2)
    torch.manual_seed(0)
    module = SmallResNet()
    print(noisyhw.from_torch(module, torch.zeros(2, 1, 8, 8)))
    for rule, device in (
        ("bp", "ideal"),
        ("danp", "ideal"),
        ("dalf", "ideal"),
        ("danp", "rram"),
        ("dalf", "rram"),
    ):
        asked = {"rule": rule, "device": device, "epochs": given.epochs, "sets": ["batch=100"]}
        run = noisyhw.train(task=data, network=module, out=f"{given.out}/{device}-{rule}", **asked)
        accuracy = run.metrics["test_accuracy"].iloc[-1]
        print(f"{rule} on {device}: {accuracy:.3f} after {given.epochs} epochs, one seed")
