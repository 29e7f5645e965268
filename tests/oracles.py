"""The arithmetic of SignalCAM again, slow and plain: loops over single numbers, in float64."""

import math
import statistics
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
            cam[(b, *u)] = math.fsum(float(g[(b, c, *u)]) * float(a[(b, c, *u)]) for c in range(channels))
    return cam


def _lines(array):
    """The positions of each sample and channel as a list of numbers: ``[b][c][u]``."""
    batch, channels, *_ = array.shape
    return [[[float(v) for v in array[b, c].flat] for c in range(channels)] for b in range(batch)]


def _unfolded(rows, a):
    """``[b][u]`` -> ``(b, *positions)``."""
    return np.array(rows, float).reshape(len(a), *a.shape[2:])


def _weighed(a, weight, g):
    """``(b, *positions)``: sum_c weight(a[c], g[c]) a[c, u], with lists of positions for a[c] and g[c]."""
    rows = []
    for maps, slopes in zip(_lines(a), _lines(g), strict=True):
        weights = [weight(*pair) for pair in zip(maps, slopes, strict=True)]
        columns = zip(*maps, strict=True)
        rows.append([math.fsum(w * v for w, v in zip(weights, u, strict=True)) for u in columns])
    return _unfolded(rows, a)


def _added(a, share, g):
    """``(b, *positions)``: sum_c share(a[c, u], g[c, u])."""
    rows = []
    for maps, slopes in zip(_lines(a), _lines(g), strict=True):
        pairs = zip(zip(*maps, strict=True), zip(*slopes, strict=True), strict=True)
        rows.append([math.fsum(map(share, *pair)) for pair in pairs])
    return _unfolded(rows, a)


def grad_cam_plus_plus(a, g):
    """The printed form: alpha = g^2 / (2 g^2 + sum(a) g^3), weight = sum_u alpha max(g, 0)."""

    def weight(values, slopes):
        strength = math.fsum(values)
        alphas = [s**2 / (2 * s**2 + strength * s**3) if s else 0.0 for s in slopes]
        return math.fsum(alpha * max(s, 0.0) for alpha, s in zip(alphas, slopes, strict=True))

    return _weighed(a, weight, g)


def xgrad_cam(a, g):
    """The weight is sum_u g[u] a[u] / sum(a)."""

    def weight(values, slopes):
        strength = math.fsum(values)
        shares = [v / strength if strength else 0.0 for v in values]
        return math.fsum(share * s for share, s in zip(shares, slopes, strict=True))

    return _weighed(a, weight, g)


def layer_cam(a, g):
    """sum_c max(g[c, u], 0) a[c, u]."""
    return _added(a, lambda v, s: max(s, 0.0) * v, g)


def grad_cam_elementwise(a, g):
    """sum_c max(g[c, u] a[c, u], 0)."""
    return _added(a, lambda v, s: max(s * v, 0.0), g)


def eigen_cam(a, _g):
    """The whole matrix ``(u, c)`` times its first right singular vector, on the side of its row sums."""
    rows = []
    for sample in a:
        matrix = np.array([sample[(slice(None), *u)] for u in np.ndindex(*sample.shape[1:])], float)
        cam = matrix @ np.linalg.svd(matrix, full_matrices=False)[2][0]
        rows.append(cam if cam @ matrix.sum(axis=1) >= 0 else -cam)
    return _unfolded(rows, a)


def eigen_grad_cam(a, g):
    """The same of activation times gradient."""
    return eigen_cam(np.float64(a) * g, g)


def kpca_cam(a, _g, kernel="sigmoid", gamma=None):
    """Textbook kernel PCA: one kernel value at a time, centred by ``H K H``, ``sqrt(value) vector`` of the largest."""
    return _unfolded([_kernel_score(maps, kernel, gamma) for maps in _lines(a)], a)


def _kernel_score(maps, kernel, gamma):
    points = list(zip(*maps, strict=True))
    matrix = np.array([[_kernel_value(kernel, gamma, x, y) for y in points] for x in points])
    middle = np.eye(len(points)) - 1 / len(points)
    values, vectors = np.linalg.eigh(middle @ matrix @ middle)
    score = math.sqrt(max(values[-1], 0)) * vectors[:, -1]
    sums = np.array([math.fsum(x) for x in points])
    return score if score @ (sums - sums.mean()) >= 0 else -score


def _kernel_value(kernel, gamma, x, y):
    gamma = 1 / len(x) if gamma is None else gamma
    inner = math.fsum(v * w for v, w in zip(x, y, strict=True))
    if kernel == "linear":
        return inner
    return math.tanh(gamma * inner + 1) if kernel == "sigmoid" else math.exp(-gamma * math.dist(x, y) ** 2)


def fem(a, _g):
    """sum_c mean(a[c]) [a[c, u] > mean(a[c]) + 2 std(a[c])]."""
    cam = np.zeros((len(a), *a.shape[2:]))
    for b, maps in enumerate(_lines(a)):
        for values in maps:
            mean, std = statistics.fmean(values), statistics.pstdev(values)
            for place, value in enumerate(values):
                cam[b].flat[place] += mean if value > mean + 2 * std else 0.0
    return cam


def shapley_cam(a, g):
    """``g`` is the gradient less half of the curvature: its mean weighs each channel."""
    return _weighed(a, lambda _, slopes: math.fsum(slopes) / len(slopes), g)


def relevance_cam(a, g):
    """The mean of activation times relevance gradient weighs each channel."""
    return _weighed(a, lambda v, s: statistics.fmean(x * y for x, y in zip(v, s, strict=True)), g)


def lift_cam(a, g):
    """The sum of activation times multiplier weighs each channel."""
    return _weighed(a, lambda v, s: math.fsum(x * y for x, y in zip(v, s, strict=True)), g)


def mean_activation(a, _g):
    """The mean of the channels."""
    return _added(a, lambda v, _: v / a.shape[1], a)


def uniform(a, _g):
    """1 everywhere."""
    return _added(a, lambda v, _: 1 / a.shape[1], a)


def random_cam(a, _g, seed=0):
    """One number a channel, drawn one by one and rounded to single precision."""
    cam = np.zeros((len(a), *a.shape[2:]))
    for b, maps in enumerate(_lines(a)):
        generator = np.random.default_rng(seed)
        for values in maps:
            weight = float(np.float32(generator.uniform(-1, 1)))
            for place, value in enumerate(values):
                cam[b].flat[place] += weight * value
    return cam


def of(name):
    """The oracle of the method called ``name``."""
    return globals()[name.replace("+", "_plus").replace("-", "_")]


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


def poly_cam_of(layers, grids):
    """Maps of one sample, the deepest last: ``P = LN(M) Up(P deeper)``, ``LN(M) = M / max(Up(Down(M)), tiny)``."""
    found = np.float64(layers[-1])
    for number in range(len(layers) - 2, -1, -1):
        fine, coarse = grids[number], grids[number + 1]
        down = _placed(layers[number], fine, [axis.centres for axis in coarse])
        blunt = _placed(down, coarse, [axis.centres for axis in fine])
        deeper = _placed(found, coarse, [axis.centres for axis in fine])
        found, tiny = np.zeros_like(deeper), 1e-12 * layers[number].max()
        for u in np.ndindex(*found.shape):
            found[u] = layers[number][u] / max(blunt[u], tiny) * deeper[u] if tiny else 0.0
    return found


def _placed(cube, grid, places):
    """Read a map at other places of the input, axis after axis, by ``np.interp``; ends are held."""
    for axis, (line, wanted) in enumerate(zip(grid, places, strict=True)):
        cube = np.apply_along_axis(lambda row, w, c: np.interp(w, c, row), axis, cube, wanted, line.centres)
    return cube
