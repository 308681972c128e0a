"""Convolution as reads of one tile: every patch of an image is one input vector."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Patches:
    """Where a convolution's patches lie.

    Images travel between layers flat, channels last: a unit's number is (row * width + column) * channels + channel.

    Attributes:
        channels, height, width: of the input image.
        kernel, stride, padding: of square patches; padding is with zeros.
        channels_first: whether the input comes as (channel, row, column), as in a task's data.
    """

    channels: int
    height: int
    width: int
    kernel: int
    stride: int = 1
    padding: int = 0
    _: KW_ONLY
    channels_first: bool = False

    @property
    def size(self) -> int:
        """Values in a patch: channels kernel^2."""
        return self.channels * self.kernel**2

    @property
    def out_height(self) -> int:
        """Rows of patches."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Columns of patches."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def count(self) -> int:
        """Patches in an image."""
        return self.out_height * self.out_width

    def cut(self, x: Float[Tensor, "passes samples units"]) -> Float[Tensor, "passes patches inputs"]:
        """All patches of all images: [passes, samples * count, size], a patch ordered (row, column, channel).

        So ordered, a row of a patch lies in one piece in the image.
        """
        passes, samples = x.shape[:2]
        if self.channels_first:
            images = x.reshape(-1, self.channels, self.height, self.width).permute(0, 2, 3, 1)
        else:
            images = x.reshape(-1, self.height, self.width, self.channels)
        pad = self.padding
        images = (F.pad(images, (0, 0, pad, pad, pad, pad)) if pad else images).contiguous()
        image, row, pixel = images.stride()[:3]
        windows = images.as_strided(
            (len(images), self.out_height, self.out_width, self.kernel, self.kernel * self.channels),
            (image, self.stride * row, self.stride * pixel, row, 1),
        )
        return windows.reshape(passes, samples * self.count, self.size)
