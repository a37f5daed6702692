"""Small transformers with random weights, each with example inputs and the output to explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf
from architecture import (
    BATCH,
    EXPERTS,
    GROUPED,
    TEXT,
    VISION,
    VOCABULARY,
    Architecture,
    causal,
    classifier,
    hidden,
    ids,
    images,
    pairs,
    pixels,
    seeded,
    sound,
    t5,
    translator,
    without_mask,
)
from torch import Tensor, nn


class Recurrent(nn.Module):
    """Embedding, recurrent layers and a classifier."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.layers = kind(16, 24, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(48, 3)

    def forward(self, input_ids: Tensor) -> Any:
        """Logits."""
        return {"logits": self.head(self.layers(self.embedding(input_ids))[0][:, -1])}


class TemporalConvolution(nn.Module):
    """Causal dilated convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(4 if d == 1 else 16, 16, 3, padding=2 * d, dilation=d) for d in (1, 2, 4)
        )
        self.head = nn.Linear(16, 3)

    def forward(self, series: Tensor) -> Any:
        """Logits."""
        x = series
        for layer in self.layers:
            x = torch.relu(layer(x)[..., : series.shape[-1]])
        return {"logits": self.head(x[..., -1])}


def _plain(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return make().eval()

    return build


ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "BERT": lambda: classifier(hf.BertConfig(**TEXT)),
    "RoBERTa": lambda: classifier(hf.RobertaConfig(**TEXT)),
    "DistilBERT": lambda: classifier(
        hf.DistilBertConfig(vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=48)
    ),
    "ALBERT": lambda: classifier(hf.AlbertConfig(**TEXT, embedding_size=16)),
    "DeBERTa-v2": lambda: classifier(
        hf.DebertaV2Config(**TEXT, relative_attention=True, pos_att_type=["c2p", "p2c"])
    ),
    "ModernBERT": lambda: classifier(hf.ModernBertConfig(**TEXT, cls_token_id=1, sep_token_id=2)),
    "T5 encoder": lambda: hidden(t5(hf.T5Config), hf.T5EncoderModel, ids),
    "T5": lambda: Architecture(seeded(t5(hf.T5Config), hf.T5ForConditionalGeneration), pairs),
    "BART": lambda: translator(hf.BartConfig, hf.BartForConditionalGeneration),
    "GPT-2": lambda: causal(
        hf.GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    ),
    "GPT-NeoX": lambda: causal(hf.GPTNeoXConfig(**TEXT)),
    "OPT": lambda: causal(
        hf.OPTConfig(**{**TEXT, "ffn_dim": 48, "word_embed_proj_dim": 32, "pad_token_id": 1})
    ),
    "BLOOM": lambda: causal(
        hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4)
    ),
    "Llama": lambda: causal(hf.LlamaConfig(**GROUPED)),
    "Mistral": lambda: causal(hf.MistralConfig(**GROUPED, sliding_window=6)),
    "Qwen2": lambda: causal(hf.Qwen2Config(**GROUPED)),
    "Qwen3": lambda: causal(hf.Qwen3Config(**GROUPED, head_dim=8)),
    "Gemma 2": lambda: causal(hf.Gemma2Config(**GROUPED, head_dim=8)),
    "Gemma 3": lambda: causal(hf.Gemma3TextConfig(**GROUPED, head_dim=8)),
    "Phi-3": lambda: causal(hf.Phi3Config(**GROUPED)),
    "Falcon": lambda: causal(
        hf.FalconConfig(
            vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4
        )
    ),
    "Mixtral": lambda: causal(
        hf.MixtralConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2)
    ),
    "Qwen-MoE": lambda: causal(
        hf.Qwen2MoeConfig(**GROUPED, **EXPERTS, num_experts=4, shared_expert_intermediate_size=24)
    ),
    "Mamba": lambda: without_mask(
        hf.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, use_cache=False),
        hf.MambaForCausalLM,
    ),
    "ViT": lambda: images(hf.ViTConfig(**VISION)),
    "DeiT": lambda: Architecture(
        seeded(hf.DeiTConfig(**VISION), hf.DeiTForImageClassification), pixels
    ),
    "BEiT": lambda: images(hf.BeitConfig(**VISION, use_relative_position_bias=True)),
    "Swin": lambda: images(
        hf.SwinConfig(
            image_size=32,
            patch_size=2,
            embed_dim=16,
            depths=[2, 2],
            num_heads=[2, 4],
            window_size=4,
        )
    ),
    "DINOv2": lambda: images(hf.Dinov2Config(**VISION)),
    "ConvNeXt": lambda: images(
        hf.ConvNextConfig(hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 2, 1], image_size=64),
        size=64,
    ),
    "MobileViT": lambda: images(
        hf.MobileViTConfig(
            image_size=64,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 16, 16, 24, 32, 40, 48],
            num_attention_heads=2,
            expand_ratio=2.0,
        ),
        size=64,
    ),
    "SegFormer": lambda: Architecture(
        seeded(
            hf.SegformerConfig(
                depths=[1, 1, 1, 1],
                hidden_sizes=[16, 24, 32, 40],
                num_attention_heads=[1, 2, 2, 4],
                decoder_hidden_size=32,
                num_labels=5,
            ),
            hf.SegformerForSemanticSegmentation,
        ),
        lambda: pixels(64),
    ),
    "DETR": lambda: Architecture(seeded(_detr(), hf.DetrForObjectDetection), lambda: pixels(64)),
    "YOLOS": lambda: Architecture(
        seeded(
            hf.YolosConfig(**{**VISION, "image_size": [32, 32]}, num_detection_tokens=5),
            hf.YolosForObjectDetection,
        ),
        pixels,
    ),
    "CLIP": lambda: Architecture(
        seeded(_clip(), hf.CLIPModel), lambda: {**ids(), **pixels()}, "logits_per_image"
    ),
    "Whisper": lambda: Architecture(
        seeded(_whisper(), hf.WhisperForConditionalGeneration),
        lambda: {
            "input_features": torch.randn(BATCH, 8, 40),
            "decoder_input_ids": torch.randint(3, VOCABULARY, (BATCH, 5)),
        },
    ),
    "wav2vec2": lambda: sound(hf.Wav2Vec2Config, hf.Wav2Vec2ForSequenceClassification),
    "PatchTST": lambda: Architecture(
        seeded(_patchtst(), hf.PatchTSTForPrediction),
        lambda: {"past_values": torch.randn(BATCH, 32, 3)},
        "prediction_outputs",
    ),
    "LSTM": lambda: Architecture(_plain(lambda: Recurrent(nn.LSTM)), lambda: ids(mask=False)),
    "GRU": lambda: Architecture(_plain(lambda: Recurrent(nn.GRU)), lambda: ids(mask=False)),
    "TCN": lambda: Architecture(
        _plain(TemporalConvolution), lambda: {"series": torch.randn(BATCH, 4, 20)}
    ),
}


def _detr() -> Any:
    backbone = hf.ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 24, 32, 40],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )
    return hf.DetrConfig(
        backbone_config=backbone,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_queries=5,
        num_labels=4,
    )


def _clip() -> Any:
    return hf.CLIPConfig(
        text_config={**TEXT, "eos_token_id": 2, "bos_token_id": 1, "projection_dim": 16},
        vision_config={**VISION, "projection_dim": 16},
        projection_dim=16,
    )


def _whisper() -> Any:
    return hf.WhisperConfig(
        vocab_size=VOCABULARY,
        num_mel_bins=8,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_source_positions=20,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        use_cache=False,
    )


def _patchtst() -> Any:
    return hf.PatchTSTConfig(
        num_input_channels=3,
        context_length=32,
        patch_length=8,
        patch_stride=8,
        prediction_length=4,
        d_model=32,
        num_attention_heads=4,
        num_hidden_layers=2,
        ffn_dim=48,
    )
