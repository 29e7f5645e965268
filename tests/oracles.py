"""The arithmetic of SignalCAM again, slow and plain: loops over single numbers, in float64."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np


def grad_cam(a, g):
    """``(b, c, *positions)`` twice -> ``(b, *positions)``: sum_c mean_u(g[c, u]) a[c, u]."""
    batch, channels, *cells = a.shape
    cam = np.zeros((batch, *cells))
    for b in range(batch):
        for c in range(channels):
            total = math.fsum(float(g[(b, c, *u)]) for u in np.ndindex(*cells))
            weight = total / math.prod(cells)
            for u in np.ndindex(*cells):
                cam[(b, *u)] += weight * float(a[(b, c, *u)])
    return cam


def hires_cam(a, g):
    """``(b, c, *positions)`` twice -> ``(b, *positions)``: sum_c g[c, u] a[c, u]."""
    batch, channels, *cells = a.shape
    cam = np.zeros((batch, *cells))
    for b in range(batch):
        for u in np.ndindex(*cells):
            cam[(b, *u)] = math.fsum(
                float(g[(b, c, *u)]) * float(a[(b, c, *u)]) for c in range(channels)
            )
    return cam


@dataclass(frozen=True)
class Step:
    """One convolution or pooling along one axis."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    left: int = 0
    right: int | None = None  # like left, unless given


def cells_after(steps, length):
    """How many positions a stack of steps leaves of an axis of that length."""
    for step in steps:
        right = step.left if step.right is None else step.right
        reach = (step.kernel - 1) * step.dilation
        length = (length + step.left + right - reach - 1) // step.stride + 1
    return length


def seen_from(steps, position):
    """Every input sample a position sees, and by how many ways; samples of the padding included."""
    ways = {position: 1}
    for step in reversed(steps):
        before = {}
        for each, count in ways.items():
            for tap in range(step.kernel):
                sample = each * step.stride - step.left + tap * step.dilation
                before[sample] = before.get(sample, 0) + count
        ways = before
    return ways


def geometry(steps):
    """Start, jump and field of a stack, read off what its positions 0 and 1 see."""
    first, second = seen_from(steps, 0), seen_from(steps, 1)
    middle = (min(first) + max(first)) / 2
    return middle, (min(second) + max(second)) / 2 - middle, max(first) - min(first) + 1


def resample_line(values, start, jump, length):
    """Linear interpolation of values at ``start + jump * u`` to samples 0, 1, ...; ends are held."""
    out, last = [], len(values) - 1
    for t in range(length):
        u = min(max((t - start) / jump, 0.0), float(last))
        below = math.floor(u)
        above = min(below + 1, last)
        out.append(float(values[below]) * (1 - (u - below)) + float(values[above]) * (u - below))
    return np.array(out)


def resample(cube, lines):
    """The same along several axes: each output sample is the weighted sum of all corners."""
    out = np.zeros([length for _, _, length in lines])
    corners = []
    for cells, (start, jump, length) in zip(cube.shape, lines, strict=True):
        hats = np.eye(cells)
        corners.append(np.array([resample_line(hat, start, jump, length) for hat in hats]))
    for place in np.ndindex(*out.shape):
        for u in product(*map(range, cube.shape)):
            share = math.prod(corners[i][u[i], place[i]] for i in range(len(u)))
            out[place] += share * float(cube[u])
    return out
