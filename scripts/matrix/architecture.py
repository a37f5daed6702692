"""How small transformers with random weights are built, and what they are fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch import Tensor, nn

BATCH, LENGTH, VOCABULARY = 2, 12, 99
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GROUPED = {**TEXT, "num_key_value_heads": 2}
VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
SOUND = {
    **{k: v for k, v in TEXT.items() if k != "max_position_embeddings"},
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "num_labels": 3,
}
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Architecture:
    """How a network is built and what it is fed; it returns the tensor `output` of its result."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    output: str = "logits"


def ids(*, mask: bool = True) -> Inputs:
    """Token ids and, for some padding, their mask."""
    found = {"input_ids": torch.randint(3, VOCABULARY, (BATCH, LENGTH))}
    if mask:
        found["attention_mask"] = torch.ones(BATCH, LENGTH, dtype=torch.int64)
        found["attention_mask"][1, -3:] = 0
    return found


def pixels(size: int = 32, **more: Tensor) -> Inputs:
    """Pictures."""
    return {"pixel_values": torch.randn(BATCH, 3, size, size), **more}


def pairs() -> Inputs:
    """A source text and the beginning of a target."""
    return {**ids(), "decoder_input_ids": torch.randint(3, VOCABULARY, (BATCH, 5))}


def seeded(config: Any, model: type[nn.Module]) -> Callable[[], nn.Module]:
    """The model with weights from seed 0, which keep the size of what passes them."""

    def build() -> nn.Module:
        torch.manual_seed(0)
        config._attn_implementation = "eager"
        config._experts_implementation = "batched_mm"  # the default loops over what each expert got
        made = model(config) if hasattr(model, "forward") else model.from_config(config)
        for weight in made.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=(2 / weight[0].numel()) ** 0.5)
        return made.eval()

    return build


def causal(config: Any) -> Architecture:
    """A language model without its cache."""
    config.use_cache = False
    return Architecture(seeded(config, hf.AutoModelForCausalLM), ids)


def classifier(config: Any) -> Architecture:
    """A classifier of sentences."""
    return Architecture(seeded(config, hf.AutoModelForSequenceClassification), ids)


def images(config: Any, *, output: str = "logits", size: int = 32) -> Architecture:
    """A classifier of pictures."""
    return Architecture(
        seeded(config, hf.AutoModelForImageClassification), lambda: pixels(size), output
    )


def sound(config: type, model: type, **more: object) -> Architecture:
    """A network that listens to waves."""
    made = seeded(config(**SOUND, **more), model)
    return Architecture(made, lambda: {"input_values": torch.randn(BATCH, 800)})


def hidden(config: Any, model: type, inputs: Callable[[], Inputs]) -> Architecture:
    """A network without a head."""
    return Architecture(seeded(config, model), inputs, "last_hidden_state")


def without_mask(config: Any, model: type) -> Architecture:
    """A network that reads token ids and knows no mask."""
    return Architecture(seeded(config, model), lambda: ids(mask=False))


def translator(config: type, model: type, **more: int) -> Architecture:
    """An encoder and a decoder, as BART has them."""
    sides = {
        f"{side}_{name}": n
        for side in ("encoder", "decoder")
        for name, n in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 48))
    }
    made = config(
        vocab_size=VOCABULARY,
        d_model=32,
        max_position_embeddings=64,
        use_cache=False,
        **sides,
        **more,
    )
    return Architecture(seeded(made, model), pairs)


def t5(config: type) -> Any:
    """A configuration of the kind of T5."""
    return config(
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        use_cache=False,
    )
