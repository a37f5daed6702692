"""Keras models by from_keras, as SavedModels and as TFLite files, quantised ones included."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from cases import Case
from keras import layers as kl

from backtrace_onnx.exporters import from_keras, from_saved_model, from_tflite

SHAPES: dict[str, tuple[int, ...]] = {"image": (16, 16, 3), "features": (10,), "series": (12, 4)}
Layers = Callable[[], list[Any]]


def _conv(units: int = 8, **options: Any) -> Any:
    return kl.Conv2D(units, 3, padding="same", activation="relu", **options)


def _head(units: int = 5, activation: str | None = "softmax") -> list[Any]:
    return [kl.GlobalAveragePooling2D(), kl.Dense(units, activation=activation)]


NETS: dict[str, tuple[str, Layers]] = {
    "CNN": ("image", lambda: [_conv(), kl.MaxPooling2D(), _conv(), *_head()]),
    "CNN, flat": ("image", lambda: [_conv(strides=2), kl.Flatten(), kl.Dense(5)]),
    "BatchNorm": ("image", lambda: [_conv(), kl.BatchNormalization(), kl.ReLU(), *_head()]),
    "LayerNorm": ("image", lambda: [_conv(), kl.LayerNormalization(), *_head()]),
    "GroupNorm": ("image", lambda: [_conv(), kl.GroupNormalization(2), *_head()]),
    "Separable": ("image", lambda: [kl.SeparableConv2D(8, 3, activation="relu"), *_head()]),
    "Depthwise": ("image", lambda: [kl.DepthwiseConv2D(3), kl.ReLU(6.0), *_head()]),
    "Transposed": ("image", lambda: [_conv(strides=2), kl.Conv2DTranspose(1, 2, strides=2)]),
    "Upsampled": ("image", lambda: [_conv(strides=2), kl.UpSampling2D(), kl.Conv2D(1, 1)]),
    "Dropout": ("image", lambda: [_conv(), kl.SpatialDropout2D(0.2), *_head()]),
    "Grouped": ("image", lambda: [_conv(), _conv(groups=2), *_head()]),
    "Rescaled": ("image", lambda: [kl.Rescaling(1 / 255), _conv(), *_head()]),
    "PReLU": ("image", lambda: [kl.Conv2D(8, 3), kl.PReLU(shared_axes=[1, 2]), *_head()]),
    "MLP": ("features", lambda: [kl.Dense(8, activation="relu"), kl.Dense(3)]),
    "MLP, one sigmoid": (
        "features",
        lambda: [kl.Dense(8, activation="relu"), kl.Dense(1, activation="sigmoid")],
    ),
    "MLP, normalised": ("features", lambda: [kl.UnitNormalization(), kl.Dense(3)]),
    **{
        f"MLP, {name}": ("features", lambda name=name: [kl.Dense(8, activation=name), kl.Dense(3)])
        for name in ("gelu", "silu", "elu", "selu", "softplus", "tanh", "leaky_relu", "hard_silu")
    },
    "LSTM": ("series", lambda: [kl.LSTM(6), kl.Dense(3)]),
    "LSTM, both ways": ("series", lambda: [kl.Bidirectional(kl.LSTM(6)), kl.Dense(3)]),
    "LSTM, steps": ("series", lambda: [kl.LSTM(6, return_sequences=True), kl.Dense(3)]),
    "GRU": ("series", lambda: [kl.GRU(6), kl.Dense(3)]),
    "SimpleRNN": ("series", lambda: [kl.SimpleRNN(6), kl.Dense(3)]),
    "Conv1D": (
        "series",
        lambda: [kl.Conv1D(6, 3, padding="causal", activation="relu"), kl.GlobalMaxPooling1D()],
    ),
    "Dilated": (
        "series",
        lambda: [kl.Conv1D(6, 3, dilation_rate=2), kl.GlobalAveragePooling1D(), kl.Dense(2)],
    ),
}
SAVED = ("CNN", "BatchNorm", "Separable", "Transposed", "MLP", "MLP, one sigmoid", "LSTM", "GRU")
LITE = ("CNN", "BatchNorm", "Separable", "Upsampled", "MLP", "MLP, one sigmoid", "MLP, gelu")
QUANTISED = ("dynamic range", "float16", "int8", "int8 in and out", "int16 activations")


def cases() -> Iterator[Case]:
    """Every network by from_keras, many by the other doors."""
    for name in (*NETS, "Ids", "Ids of two kinds", "Attention", "Residual"):
        yield Case("Keras", name, "tf2onnx (Keras)", _maker(name, "keras"))
    for name in SAVED:
        yield Case("SavedModel", name, "tf2onnx (SavedModel)", _maker(name, "saved"))
    for name in LITE:
        yield Case("TFLite", name, "tf2onnx (TFLite)", _maker(name, "float"))
    for name in ("CNN", "Separable", "MLP"):
        for kind in QUANTISED:
            yield Case("TFLite, quantised", name, f"TFLite {kind}", _maker(name, kind))
    for kind in ("int8", "int4"):
        yield Case("Keras, quantised", "MLP", f"Keras {kind}", _maker("MLP", f"keras {kind}"))


def _build(name: str) -> tuple[Any, dict[str, np.ndarray]]:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    if name in NETS:
        kind, make = NETS[name]
        given = keras.Input(SHAPES[kind], name=kind)
        y = given
        for layer in make():
            y = layer(y)
        return keras.Model(given, y), {kind: rng.standard_normal((2, *SHAPES[kind])).astype("f")}
    if name == "Residual":
        given = keras.Input(SHAPES["image"], name="image")
        x = _conv()(given)
        y = kl.Add()([x, _conv()(_conv()(x))])
        for layer in _head():
            y = layer(y)
        return keras.Model(given, y), {"image": rng.standard_normal((2, 16, 16, 3)).astype("f")}
    return _of_ids(name, rng)


def _of_ids(name: str, rng: np.random.Generator) -> tuple[Any, dict[str, np.ndarray]]:
    ids = keras.Input((7,), name="ids", dtype="int32")
    feeds = {"ids": rng.integers(0, 20, (2, 7)).astype(np.int32)}
    x = kl.Embedding(20, 8)(ids)
    if name == "Attention":
        x = kl.LayerNormalization()(x + kl.MultiHeadAttention(2, 4)(x, x))
    if name == "Ids of two kinds":
        more = keras.Input((1,), name="item", dtype="int32")
        feeds["item"] = np.array([[3], [5]], np.int32)
        both = kl.Concatenate()([kl.Flatten()(x), kl.Flatten()(kl.Embedding(9, 4)(more))])
        return keras.Model([ids, more], kl.Dense(1, activation="sigmoid")(both)), feeds
    return keras.Model(ids, kl.Dense(3)(kl.GlobalAveragePooling1D()(x))), feeds


def _maker(name: str, door: str) -> Callable[[Path], dict[str, np.ndarray]]:
    def make(path: Path) -> dict[str, np.ndarray]:
        model, feeds = _build(name)
        if door.startswith("keras"):
            if door != "keras":
                model.quantize(door.removeprefix("keras "))
            from_keras(model, path, example=list(feeds.values()) if len(feeds) > 1 else None)
            return feeds
        folder = path.parent / "saved"
        model.export(folder, verbose=False)
        if door == "saved":
            from_saved_model(folder, path)
            return feeds
        file = path.with_suffix(".tflite")
        file.write_bytes(_lite(folder, door, next(iter(feeds.values()))))
        made = from_tflite(file, path)
        (x,), (given,) = feeds.values(), made.inputs
        return {given: np.round(x * 30).astype(np.int8) if "in and out" in door else x}

    return make


def _lite(folder: Path, kind: str, x: np.ndarray) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    sets = tf.lite.OpsSet
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.startswith("int"):
        rng = np.random.default_rng(1)
        shape = (1, *x.shape[1:])
        converter.representative_dataset = lambda: (
            [rng.standard_normal(shape).astype("f")] for _ in range(20)
        )
    if kind == "int8 in and out":
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if kind == "int16 activations":
        wide = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [wide]
    return bytes(converter.convert())
