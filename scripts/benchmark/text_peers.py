"""What the text benchmark compares with; a method takes ids[1, tokens] to relevance[1, tokens]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from shared import SEED, Array, Explain, Method
from text_models import Reader
from torch.nn import functional as F

STEPS, NOISY, NOISE = 50, 20, 0.1
PAD, EPSILON = 0, 1e-6


def peers(model: Reader) -> Iterator[Method]:
    """captum's methods on embeddings, lxt's rules, and two that look at attention or the end."""
    from captum.attr import InputXGradient, IntegratedGradients, NoiseTunnel, Saliency

    def integrated(ids: Array, targets: Array) -> Array:
        """From the embeddings of padding, which is what captum's tutorial for BERT takes."""
        empty = np.full_like(ids, PAD)
        empty[:, [0, -1]] = ids[:, [0, -1]]
        method = IntegratedGradients(model)
        how = {"baselines": model.embed(empty), "n_steps": STEPS}
        found = method.attribute(model.embed(ids), target=int(targets[0]), **how)
        return _by_token(found)

    def smooth(ids: Array, targets: Array) -> Array:
        torch.manual_seed(SEED)
        embedded = model.embed(ids)
        spread = NOISE * float(embedded.max() - embedded.min())
        how = {"nt_samples": NOISY, "stdevs": spread, "abs": False}
        method = NoiseTunnel(Saliency(model))
        found = method.attribute(embedded, target=int(targets[0]), **how)
        return np.asarray(found.detach().norm(dim=-1).numpy())

    def by_input(ids: Array, targets: Array) -> Array:
        found = InputXGradient(model).attribute(model.embed(ids), target=int(targets[0]))
        return _by_token(found)

    yield Method("input x gradient (captum)", "peer", by_input)
    yield Method("attention rollout", "peer", _rollout(model))
    yield Method("Grad-CAM, last layer", "peer", _grad_cam(model))
    yield Method("AttnLRP (lxt)", "peer", _attnlrp(model))
    yield Method("IG, 50 steps (captum)", "peer", integrated)
    yield Method("SmoothGrad, 20 samples (captum)", "peer", smooth)


def _by_token(found: torch.Tensor) -> Array:
    return np.asarray(found.detach().sum(-1).numpy())


def _rollout(model: Reader) -> Explain:
    """Abnar and Zuidema 2020, for the mean of all tokens."""

    def explain(ids: Array, targets: Array) -> Array:
        with torch.no_grad():
            how = {"inputs_embeds": model.embed(ids), "output_attentions": True}
            found = model.encoder(**how).attentions
        passed = torch.eye(ids.shape[1])
        for attention in found:
            passed = (attention[0].mean(0) + torch.eye(ids.shape[1])) / 2 @ passed
        return np.asarray(passed.mean(0, keepdim=True).numpy())

    return explain


def _grad_cam(model: Reader) -> Explain:
    """Mean slope of every channel over the tokens, times the activation, behind the last layer."""

    def explain(ids: Array, targets: Array) -> Array:
        found = model.encoder(inputs_embeds=model.embed(ids)).last_hidden_state
        score = model.head(found.mean(1))[0, int(targets[0])]
        (slope,) = torch.autograd.grad(score, found)
        made = (slope.mean(1, keepdim=True) * found).sum(-1)
        return np.asarray(F.relu(made).detach().numpy())

    return explain


def _attnlrp(model: Reader) -> Explain:
    """The encoder, written in lxt's functions, which carry AttnLRP's rules backwards."""
    import lxt.explicit.functional as lxt

    def linear(layer: Any, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = lxt.linear_epsilon(x, layer.weight, layer.bias, EPSILON)
        return made

    def norm(layer: Any, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = lxt.layer_norm(x, layer.weight, layer.bias, layer.eps)
        return made

    def attended(layer: Any, x: torch.Tensor) -> torch.Tensor:
        own = layer.attention.self
        heads = own.num_attention_heads

        def split(part: Any) -> torch.Tensor:
            return linear(part, x).reshape(*x.shape[:2], heads, -1).transpose(1, 2)

        q, k, v = split(own.query), split(own.key), split(own.value)
        size = torch.tensor(q.shape[-1] ** -0.5)
        scores = lxt.mul2(lxt.matmul(q, k.transpose(-1, -2)), size)
        mixed = lxt.matmul(lxt.softmax(scores, -1), v).transpose(1, 2).reshape(x.shape)
        return norm(
            layer.attention.output.LayerNorm,
            lxt.add2(linear(layer.attention.output.dense, mixed), x),
        )

    def explain(ids: Array, targets: Array) -> Array:
        words = model.embed(ids).requires_grad_()
        table = model.encoder.embeddings
        places = (
            table.position_embeddings.weight[: ids.shape[1]] + table.token_type_embeddings.weight[0]
        )
        x = norm(table.LayerNorm, lxt.add2(words, places[None].detach()))
        for layer in model.encoder.encoder.layer:
            x = attended(layer, x)
            inner = linear(layer.intermediate.dense, x)
            grown = _Identity.apply(inner)
            x = norm(layer.output.LayerNorm, lxt.add2(linear(layer.output.dense, grown), x))
        logits = linear(model.head, lxt.mean(x, 1, False))
        score = logits[0, int(targets[0])]
        (found,) = torch.autograd.grad(score, words, score.detach())
        return _by_token(found)

    return explain


class _Identity(torch.autograd.Function):
    """GELU, which hands relevance on whole."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x)

    @staticmethod
    def backward(ctx: Any, r: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return r


def floors() -> Iterator[Method]:
    """What knows nothing of the model."""

    def drawn(ids: Array, targets: Array) -> Array:
        return np.random.default_rng((SEED, *ids[0])).standard_normal(ids.shape)

    def middle(ids: Array, targets: Array) -> Array:
        places = np.linspace(-1, 1, ids.shape[1])
        return 1 - np.abs(places)[None]

    yield Method("random", "floor", drawn)
    yield Method("centre", "floor", middle)
