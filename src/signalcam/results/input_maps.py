"""Here you find ``InputMaps``: one explained input (modality) with its maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from signalcam.alignment.resampling import AxisGrid
from signalcam.errors import LayoutError, MethodError
from signalcam.inputs.layout import Layout
from signalcam.inputs.padding import positions_inside
from signalcam.results import normalization as map_operations
from signalcam.results.layer_fusion import Fusion, check_fusion, fuse, refine
from signalcam.results.layer_maps import LayerMaps

NETWORK_INPUT, RAW_SIGNAL = "network input", "raw signal"  # the two modalities with ``preprocess=``


@dataclass(frozen=True, eq=False)
class InputMaps:
    """One explained input and its maps.

    Attributes:
        name: Its name in ``of=``; empty if there is only one.
        layers: The maps, one entry for each layer.
        layout: Names, rates and units of the input's axes.
        input: ``(sample, ...)``; NaN, or 0 for integers, beyond a sample's end.
        shapes: ``(sample, axis)``, the lengths of each sample; ``None`` if all are equal.
    """

    name: str
    layers: tuple[LayerMaps, ...]
    layout: Layout
    input: np.ndarray
    shapes: np.ndarray | None = None

    @property
    def map_axes(self) -> tuple[int, ...]:
        """The axes of the input that the maps have; batch is axis 0."""
        return tuple(sorted({axis.input_axis for layer in self.layers for axis in layer.grid}))

    @property
    def maps(self) -> np.ndarray:
        """The maps at the input's resolution: ``(sample, target, cam, layer, *positions)``."""
        lengths = [self.input.shape[axis] for axis in self.map_axes]
        return np.stack([each.at_input(self.map_axes, lengths) for each in self.layers], axis=3)

    def lengths(self) -> tuple[np.ndarray, list[str]]:
        """The lengths of samples, ``(sample, axis)``, with the names of these axes: time unless others differ."""
        dims = self.layout.dims[1:]
        usual = dims.index("time") if "time" in dims else max(self.map_axes) - 1
        whole = np.tile(self.input.shape[1:], (len(self.input), 1))
        shapes = whole if self.shapes is None else self.shapes
        differ = (shapes != shapes[:1]).any(axis=0).nonzero()[0].tolist()
        axes = differ or [usual]
        return shapes[:, axes], [dims[axis] for axis in axes]

    def select(self, samples: Sequence[int], targets: Sequence[int], methods: Sequence[int]) -> InputMaps:
        """Select samples (cut to the longest of them), targets and methods."""
        layers = [each.select(samples) for each in self.layers]
        selected = [replace(each, values=each.values[:, targets][:, :, methods]) for each in layers]
        all_samples = list(samples) == list(range(len(self.input)))  # selecting all must not read or copy a record
        smaller = replace(
            self,
            layers=tuple(selected),
            layout=self.layout.select_samples(samples),
            input=self.input if all_samples else self.input[samples],
        )
        if self.shapes is None or not len(samples):
            return replace(smaller, shapes=None)
        shapes = self.shapes[samples]
        most = shapes.max(axis=0)
        short = smaller.input[(slice(None), *map(slice, most))]
        return replace(smaller, input=short, shapes=None if (shapes == most).all() else shapes)

    def interval_to_indices(self, dim: str, begin: float, end: float) -> tuple[int, int]:
        """Return the first entry of an interval of an axis, and the one after its last."""
        if dim not in self.layout.dims[1:] or dim == "channel" or self.shapes is not None:
            message = f"no interval of {dim!r} can be selected: it must be an axis of positions ({', '.join(self.layout.dims[1:])}), of samples of one length. Select one sample first if lengths differ: exp.isel(sample=0)."
            raise LayoutError(message)
        kinds = [np.asarray(each).dtype.kind for each in (begin, end)]
        if not set(kinds) <= set("iuf") or np.isnan([begin, end]).any():
            message = f"the interval is from {begin!r} to {end!r}; give two numbers in the units of {dim!r}."
            raise LayoutError(message)
        length = self.input.shape[self.layout.dims.index(dim)]
        start, stop = self.layout.interval_to_indices(dim, length, begin, end)
        if stop - start < 2:
            ends = self.layout.coordinate(dim, np.asarray([0, length - 1]))
            message = (
                f"fewer than 2 entries of {dim!r} lie between {begin} and {end}: it runs from {ends[0]} to {ends[1]}."
            )
            raise LayoutError(message)
        return start, stop

    def between(self, dim: str, begin: float, end: float) -> InputMaps:
        """Select an interval of an axis; see ``Explanation.between``."""
        if dim not in self.layout.dims:
            return self
        start, stop = self.interval_to_indices(dim, begin, end)
        axis = self.layout.dims.index(dim)
        return replace(
            self,
            layers=tuple(each.between(axis, start, stop) for each in self.layers),
            layout=self.layout.between(dim, start, stop),
            input=self.input[(*[slice(None)] * axis, slice(start, stop))],
        )

    def normalized(self, kind: map_operations.Normalisation) -> InputMaps:
        """Scale every map by itself; see ``Explanation.normalized``."""
        layers, full = [], self._fill_padding()
        for number, layer in enumerate(self.layers):
            values = full[:, :, :, number]
            rows = values.reshape(-1, int(np.prod(values.shape[3:])))
            shift, scale = map_operations.affine(rows, kind)
            broadcast = (*layer.values.shape[:3], *[1] * len(layer.grid))
            scaled = (layer.values - shift.reshape(broadcast)) * scale.reshape(broadcast)
            layers.append(replace(layer, values=scaled.astype(np.float32)))
        return replace(self, layers=tuple(layers))

    def fused(self, how: Fusion) -> InputMaps:
        """Fuse the maps of all layers; see ``Explanation.fused``."""
        check_fusion(how, len(self.layers))
        name = f"{how}({', '.join(each.name for each in self.layers)})"
        if how == "poly-cam":
            return replace(self, layers=(self._fuse_poly_cam(name),))
        full = map_operations.rectify(self._fill_padding())
        shape = (*full.shape[:3], *full.shape[4:])
        rows = [full[:, :, :, i].reshape(-1, int(np.prod(shape[3:]))) for i in range(len(self.layers))]
        values = fuse(rows, how).reshape(shape).astype(np.float32)
        lengths = [(axis, self.input.shape[axis]) for axis in self.map_axes]
        grid = tuple(AxisGrid(axis, n, n, 0.0, 1.0, 1.0, probed=True) for axis, n in lengths)
        inside = self._inside_samples()
        if inside is None:
            return replace(self, layers=(LayerMaps(name, values, grid),))
        ends = self.shapes[:, [axis - 1 for axis in self.map_axes]]  # type: ignore[index] # there, or nothing lies outside
        blank = np.where(inside[:, None, None], values, np.float32(np.nan))
        sizes = np.stack([ends, ends], axis=2)
        return replace(self, layers=(LayerMaps(name, blank, grid, sizes),))

    def _fuse_poly_cam(self, name: str) -> LayerMaps:
        """Fuse layers by Poly-CAM, at the resolution of the shallowest layer."""
        if self.shapes is not None:
            message = "poly-cam fuses layers of samples of one length. Select those first: exp.isel(sample=...)."
            raise MethodError(message)
        raised = [map_operations.rectify(each.values) for each in self.layers]
        rows = [each.reshape(-1, *each.shape[3:]) for each in raised]
        values, place = refine(rows, [each.grid for each in self.layers])
        values = values.reshape(raised[place].shape).astype(np.float32)
        return LayerMaps(name, values, self.layers[place].grid)

    def _inside_samples(self) -> np.ndarray | None:
        """``(sample, *positions)``, whether a position lies within the sample; ``None`` if all do."""
        if self.shapes is None:
            return None
        axes = self.map_axes
        lengths = [self.input.shape[axis] for axis in axes]
        return positions_inside(self.shapes[:, [axis - 1 for axis in axes]], lengths)

    def _fill_padding(self) -> np.ndarray:
        """The maps, with padding replaced by a value of the same map, so that extremes do not change."""
        full, inside = self.maps, self._inside_samples()
        if inside is None:
            return full
        flat = full.reshape(*full.shape[:4], -1)
        first = flat[..., 0].reshape(*full.shape[:4], *[1] * (full.ndim - 4))
        return np.where(inside[:, None, None, None], full, first)
