"""Which operators of com.microsoft stand in files because an optimiser wrote them there."""

from __future__ import annotations

_GRAPHS = """
    Attention BiasDropout BiasGelu BiasSoftmax BitmaskBiasDropout BitmaskDropout
    DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedConv FusedGemm FusedMatMul
    FusedMatMulActivation Gelu GroupQueryAttention IsAllFinite MatMulIntegerToFloat MatMulNBits
    MultiHeadAttention NhwcFusedConv NhwcMaxPool QLinearAdd QLinearAveragePool QLinearConcat
    QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearSoftmax
    QLinearWhere QGemm QuickGelu SkipLayerNormalization SkipSimplifiedLayerNormalization
    TransposeMatMul
"""
_TRANSFORMERS = """
    BiasAdd BiasSplitGelu DecoderAttention DecoderMaskedMultiHeadAttention
    DecoderMaskedSelfAttention GatedRelativePositionBias GemmFastGelu GemmaRotaryEmbedding GroupNorm
    LongformerAttention NhwcConv PackedAttention PackedMultiHeadAttention QOrderedAttention
    QOrderedGelu QOrderedLayerNormalization QOrderedMatMul RelativePositionBias RemovePadding
    RestorePadding RotaryEmbedding SkipGroupNorm
"""
_QUANTISERS = """
    DequantizeLinear DynamicQuantizeLSTM GatherBlockQuantized MatMulBnb4 MulInteger QAttention
    QEmbedLayerNormalization QLinearReduceMean QuantizeLinear ReduceSumInteger
"""
_EXPORTERS = "ComplexMul ComplexMulConj Irfft MatMulFpQ4 MoE QMoE Rfft TorchEmbedding"

OPTIMISED = frozenset(f"{_GRAPHS} {_TRANSFORMERS} {_QUANTISERS} {_EXPORTERS}".split())
"""What onnxruntime's graph optimisations, its optimiser of transformers (optimum's, too), its
quantisers, and exporters that write its fused operators at once leave behind."""
