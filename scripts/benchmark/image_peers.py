"""What the image benchmark compares with: captum, zennit, and maps that know no model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage
from shared import SEED, Array, Explain, Method, random_relevance
from torch import nn
from torch.nn import functional as F
from zennit_peers import zennit_methods

from backtrace_onnx.inputs.blurring import blurred

STEPS, NOISY, NOISE = 50, 20, 0.1


def peers(model: nn.Module, layer: nn.Module, x: Array) -> Iterator[Method]:
    """captum's and zennit's methods; Grad-CAM is taken behind `layer`."""
    from captum.attr import InputXGradient, IntegratedGradients, LayerGradCam, NoiseTunnel, Saliency

    for module in model.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
    yield Method("vanilla gradient (captum)", "peer", _captum(Saliency(model)))
    yield Method("input x gradient (captum)", "peer", _captum(InputXGradient(model)))
    yield Method("Grad-CAM (captum)", "peer", _grad_cam(LayerGradCam(model, layer)))
    low, high = (f(x, (0, 2, 3), keepdims=True) for f in (np.min, np.max))
    for name, explain in zennit_methods(model, low, high):
        yield Method(f"{name} (zennit)", "peer", explain)
    spread = NOISE * float(x.max() - x.min())
    noisy = NoiseTunnel(Saliency(model))
    how = {"nt_samples": NOISY, "nt_samples_batch_size": 5, "stdevs": spread}
    yield Method("SmoothGrad, 20 samples (captum)", "peer", _captum(noisy, **how))
    integrated = IntegratedGradients(model)
    how = {"n_steps": STEPS, "internal_batch_size": 10}
    yield Method("IG, 50 steps (captum)", "peer", _captum(integrated, **how))

    def from_blur(x: Array, targets: Array) -> Array:
        """What is replaced by a blur is compared with one."""
        empty = torch.from_numpy(blurred(x, (2, 3)))
        return _captum(integrated, baselines=empty, **how)(x, targets)

    yield Method("IG, 50 steps from blur (captum)", "peer", from_blur)


def _captum(method: object, **how: object) -> Explain:
    def explain(x: Array, targets: Array) -> Array:
        torch.manual_seed(SEED)
        asked = torch.from_numpy(np.asarray(targets))
        found = method.attribute(torch.from_numpy(x), target=asked, **how)  # type: ignore[attr-defined]
        return np.asarray(found.detach().numpy())

    return explain


def _grad_cam(method: object) -> Explain:
    def explain(x: Array, targets: Array) -> Array:
        asked = torch.from_numpy(np.asarray(targets))
        found = method.attribute(  # type: ignore[attr-defined]
            torch.from_numpy(x), target=asked, relu_attributions=True
        )
        large = F.interpolate(found.detach(), x.shape[2:], mode="bilinear").numpy()
        return np.asarray(np.broadcast_to(large / x.shape[1], x.shape))

    return explain


def floors() -> Iterator[Method]:
    """Maps that know nothing of the model."""
    yield Method("random", "floor", random_relevance)
    yield Method("centre", "floor", _centre)
    yield Method("edges", "floor", _edges)


def _centre(x: Array, targets: Array) -> Array:
    """A Gaussian in the middle, a quarter of the side wide."""
    rows, columns = (np.linspace(-2, 2, n) for n in x.shape[2:])
    middle = np.exp(-(rows[:, None] ** 2 + columns**2) / 2)
    return np.broadcast_to(middle, x.shape)


def _edges(x: Array, targets: Array) -> Array:
    """How much the picture changes from place to place (Sobel), a little smoothed."""
    gray = x.mean(1)
    size = np.hypot(ndimage.sobel(gray, 1), ndimage.sobel(gray, 2))
    smooth = ndimage.gaussian_filter(size, (0, x.shape[2] / 64, x.shape[3] / 64))
    return np.broadcast_to(smooth[:, None], x.shape)
