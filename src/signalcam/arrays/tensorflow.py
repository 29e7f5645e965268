"""The functions of the array standard that the package uses, in TensorFlow."""

from typing import Any

import numpy as np
import tensorflow as tf

float32, float64, inf = tf.float32, tf.float64, np.inf
exp, log, log1p, where, reshape, matmul, zeros_like = (
    tf.exp,
    tf.math.log,
    tf.math.log1p,
    tf.where,
    tf.reshape,
    tf.matmul,
    tf.zeros_like,
)
abs, tanh, expm1 = tf.abs, tf.tanh, tf.math.expm1
stack, sqrt, ones_like, isfinite = tf.stack, tf.sqrt, tf.ones_like, tf.math.is_finite
linalg, matrix_transpose = tf.linalg, tf.linalg.matrix_transpose


broadcast_to, permute_dims, all = tf.broadcast_to, tf.transpose, tf.reduce_all


def min(array: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_min(array, axis, keepdims)


def sort(array: Any, *, axis: int = -1) -> Any:
    return tf.sort(array, axis)


def concat(arrays: Any, *, axis: int = 0) -> Any:
    return tf.concat(arrays, axis)


def astype(array: Any, dtype: Any) -> Any:
    return tf.cast(array, dtype)


def asarray(values: Any, *, device: Any = None) -> Any:
    return tf.convert_to_tensor(values)


def arange(stop: int, *, device: Any = None) -> Any:
    return tf.range(stop)


def finfo(dtype: Any) -> Any:
    return np.finfo(dtype.as_numpy_dtype)


def clip(array: Any, low: float, high: float) -> Any:
    return tf.clip_by_value(array, low, high)


def sum(array: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_sum(array, axis, keepdims)


def mean(array: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_mean(array, axis, keepdims)


def max(array: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
    return tf.reduce_max(array, axis, keepdims)


def logaddexp(one: Any, other: Any) -> Any:
    return tf.experimental.numpy.logaddexp(one, other)


def take(array: Any, index: Any, *, axis: int) -> Any:
    return tf.gather(array, index, axis=axis)


def take_along_axis(array: Any, index: Any, *, axis: int = -1) -> Any:
    return tf.experimental.numpy.take_along_axis(array, index, axis)


def argmax(array: Any, *, axis: int = -1) -> Any:
    return tf.argmax(array, axis)


def argsort(array: Any, *, axis: int = -1, descending: bool = False) -> Any:
    way = "DESCENDING" if descending else "ASCENDING"
    return tf.cast(tf.argsort(array, axis, way, stable=True), tf.int64)  # as argmax counts


def roll(array: Any, shift: int, *, axis: int) -> Any:
    return tf.roll(array, shift, axis)
