"""More small transformers, which are tried by torch's new exporter alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as hf
from architecture import (
    BATCH,
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

_GPT = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
_STAGES = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}

MORE: dict[str, Callable[[], Architecture]] = {
    "ELECTRA": lambda: classifier(hf.ElectraConfig(**TEXT, embedding_size=16)),
    "XLM-RoBERTa": lambda: classifier(hf.XLMRobertaConfig(**TEXT)),
    "CamemBERT": lambda: classifier(hf.CamembertConfig(**TEXT)),
    "MPNet": lambda: classifier(hf.MPNetConfig(**{**TEXT, "pad_token_id": 1})),
    "SqueezeBERT": lambda: classifier(hf.SqueezeBertConfig(**TEXT, embedding_size=32)),
    "MobileBERT": lambda: classifier(
        hf.MobileBertConfig(
            **TEXT, embedding_size=16, intra_bottleneck_size=32, num_feedforward_networks=2
        )
    ),
    "ConvBERT": lambda: classifier(hf.ConvBertConfig(**TEXT, embedding_size=16)),
    "RoFormer": lambda: classifier(hf.RoFormerConfig(**TEXT, embedding_size=16)),
    "FNet": lambda: without_mask(hf.FNetConfig(**TEXT), hf.FNetForSequenceClassification),
    "Nystromformer": lambda: classifier(
        hf.NystromformerConfig(**TEXT, num_landmarks=4, segment_means_seq_len=12)
    ),
    "ESM": lambda: classifier(hf.EsmConfig(**TEXT, mask_token_id=1)),
    "Funnel": lambda: classifier(
        hf.FunnelConfig(
            vocab_size=VOCABULARY, block_sizes=[1, 1], d_model=32, n_head=4, d_head=8, d_inner=48
        )
    ),
    "XLNet": lambda: classifier(
        hf.XLNetConfig(vocab_size=VOCABULARY, d_model=32, n_layer=2, n_head=4, d_inner=48)
    ),
    "XLM": lambda: classifier(
        hf.XLMConfig(vocab_size=VOCABULARY, emb_dim=32, n_layers=2, n_heads=4)
    ),
    "Longformer": lambda: classifier(hf.LongformerConfig(**TEXT, attention_window=4)),
    "BigBird": lambda: classifier(hf.BigBirdConfig(**TEXT, attention_type="original_full")),
    "BERT of tokens": lambda: Architecture(
        seeded(hf.BertConfig(**TEXT), hf.AutoModelForTokenClassification), ids
    ),
    "BERT of answers": lambda: Architecture(
        seeded(hf.BertConfig(**TEXT), hf.AutoModelForQuestionAnswering), ids, "start_logits"
    ),
    "BERT of gaps": lambda: Architecture(
        seeded(hf.BertConfig(**TEXT), hf.AutoModelForMaskedLM), ids
    ),
    "BERT of sentences": lambda: hidden(hf.BertConfig(**TEXT), hf.BertModel, ids),
    "GPT-Neo": lambda: causal(
        hf.GPTNeoConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_layers=2,
            attention_types=[[["global", "local"], 1]],
            num_heads=4,
            window_size=4,
            max_position_embeddings=64,
        )
    ),
    "GPT-J": lambda: causal(hf.GPTJConfig(**_GPT, rotary_dim=4)),
    "CodeGen": lambda: causal(hf.CodeGenConfig(**_GPT, rotary_dim=4)),
    "StarCoder": lambda: causal(hf.GPTBigCodeConfig(**_GPT)),
    "StarCoder 2": lambda: causal(hf.Starcoder2Config(**GROUPED)),
    "MPT": lambda: causal(
        hf.MptConfig(vocab_size=VOCABULARY, d_model=32, n_heads=4, n_layers=2, max_seq_len=64)
    ),
    "StableLM": lambda: causal(hf.StableLmConfig(**GROUPED)),
    "Phi": lambda: causal(hf.PhiConfig(**GROUPED)),
    "Cohere": lambda: causal(hf.CohereConfig(**GROUPED)),
    "OLMo": lambda: causal(hf.OlmoConfig(**GROUPED)),
    "OLMo 2": lambda: causal(hf.Olmo2Config(**GROUPED)),
    "Granite": lambda: causal(hf.GraniteConfig(**GROUPED)),
    "Gemma": lambda: causal(hf.GemmaConfig(**GROUPED, head_dim=8)),
    "SmolLM 3": lambda: causal(hf.SmolLM3Config(**GROUPED)),
    "GLM": lambda: causal(hf.GlmConfig(**GROUPED, head_dim=8)),
    "Nemotron": lambda: causal(hf.NemotronConfig(**GROUPED)),
    "Persimmon": lambda: causal(hf.PersimmonConfig(**TEXT)),
    "Helium": lambda: causal(hf.HeliumConfig(**GROUPED, head_dim=8)),
    "RWKV": lambda: without_mask(
        hf.RwkvConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, use_cache=False),
        hf.RwkvForCausalLM,
    ),
    "Marian": lambda: translator(hf.MarianConfig, hf.MarianMTModel, pad_token_id=0),
    "Pegasus": lambda: translator(
        hf.PegasusConfig, hf.PegasusForConditionalGeneration, pad_token_id=0
    ),
    "mBART": lambda: translator(hf.MBartConfig, hf.MBartForConditionalGeneration, pad_token_id=0),
    "M2M-100": lambda: translator(
        hf.M2M100Config, hf.M2M100ForConditionalGeneration, pad_token_id=0
    ),
    "mT5": lambda: Architecture(seeded(t5(hf.MT5Config), hf.MT5ForConditionalGeneration), pairs),
    "ResNet": lambda: images(hf.ResNetConfig(embedding_size=8, layer_type="basic", **_STAGES)),
    "RegNet": lambda: images(hf.RegNetConfig(embedding_size=8, groups_width=4, **_STAGES)),
    "BiT": lambda: images(hf.BitConfig(embedding_size=8, num_groups=4, **_STAGES), size=64),
    "MobileNet v1": lambda: images(hf.MobileNetV1Config(depth_multiplier=0.25)),
    "MobileNet v2": lambda: images(hf.MobileNetV2Config(depth_multiplier=0.35)),
    "EfficientNet": lambda: images(
        hf.EfficientNetConfig(
            image_size=32, width_coefficient=0.25, depth_coefficient=0.2, hidden_dim=320
        )
    ),
    "ConvNeXt v2": lambda: images(hf.ConvNextV2Config(**_STAGES, image_size=64), size=64),
    "PoolFormer": lambda: images(
        hf.PoolFormerConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1]), size=64
    ),
    "FocalNet": lambda: images(
        hf.FocalNetConfig(
            image_size=32,
            patch_size=2,
            embed_dim=8,
            depths=[1, 1],
            focal_levels=[2, 2],
            focal_windows=[3, 3],
            hidden_sizes=[8, 16],
        )
    ),
    "PVT": lambda: images(
        hf.PvtConfig(
            image_size=64,
            hidden_sizes=[8, 16, 24, 32],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 2, 2, 4],
        ),
        size=64,
    ),
    "Swin v2": lambda: images(
        hf.Swinv2Config(
            image_size=32,
            patch_size=2,
            embed_dim=16,
            depths=[1, 1],
            num_heads=[2, 4],
            window_size=4,
        )
    ),
    "DINOv2 with registers": lambda: images(hf.Dinov2WithRegistersConfig(**VISION)),
    "ViT-MSN": lambda: images(hf.ViTMSNConfig(**VISION)),
    "Data2Vec vision": lambda: images(hf.Data2VecVisionConfig(**VISION)),
    "SigLIP": lambda: Architecture(
        seeded(
            hf.SiglipConfig(text_config={**TEXT, "projection_size": 32}, vision_config=VISION),
            hf.SiglipModel,
        ),
        lambda: {**ids(mask=False), **pixels()},
        "logits_per_image",
    ),
    "DPT": lambda: Architecture(
        seeded(
            hf.DPTConfig(
                **{**VISION, "num_hidden_layers": 4},
                is_hybrid=False,
                neck_hidden_sizes=[8, 12, 16, 24],
                fusion_hidden_size=16,
                backbone_out_indices=[0, 1, 2, 3],
            ),
            hf.DPTForDepthEstimation,
        ),
        pixels,
        "predicted_depth",
    ),
    "GLPN": lambda: Architecture(
        seeded(
            hf.GLPNConfig(
                hidden_sizes=[8, 12, 16, 24],
                depths=[1, 1, 1, 1],
                num_attention_heads=[1, 1, 2, 2],
                decoder_hidden_size=16,
            ),
            hf.GLPNForDepthEstimation,
        ),
        lambda: pixels(64),
        "predicted_depth",
    ),
    "HuBERT": lambda: sound(hf.HubertConfig, hf.HubertForSequenceClassification),
    "WavLM": lambda: sound(hf.WavLMConfig, hf.WavLMForSequenceClassification),
    "SEW": lambda: sound(hf.SEWConfig, hf.SEWForSequenceClassification, squeeze_factor=1),
    "UniSpeech": lambda: sound(hf.UniSpeechConfig, hf.UniSpeechForSequenceClassification),
    "wav2vec2, CTC": lambda: sound(hf.Wav2Vec2Config, hf.Wav2Vec2ForCTC),
    "AST": lambda: Architecture(
        seeded(
            hf.ASTConfig(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=48,
                max_length=32,
                num_mel_bins=16,
                patch_size=8,
            ),
            hf.ASTForAudioClassification,
        ),
        lambda: {"input_values": torch.randn(BATCH, 32, 16)},
    ),
    "PatchTSMixer": lambda: Architecture(
        seeded(
            hf.PatchTSMixerConfig(
                context_length=32,
                patch_length=8,
                patch_stride=8,
                num_input_channels=3,
                d_model=16,
                num_layers=2,
                prediction_length=4,
            ),
            hf.PatchTSMixerForPrediction,
        ),
        lambda: {"past_values": torch.randn(BATCH, 32, 3)},
        "prediction_outputs",
    ),
}
