"""Operators of onnxruntime that are not explained, each with its reason."""

from __future__ import annotations

from backtrace_onnx.expansions.registry import refuse

_REASONS = {
    "BeamSearch GreedySearch Sampling WhisperBeamSearch": "it generates a text token by token, and "
    "its answer is no function that could be traced back; explain the decoder inside it, one token "
    "at a time",
    "PagedAttention SparsePagedAttention DynamicSparseAttention SparseAttentionIndexer "
    "PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge": "its keys and values lie in "
    "pages or blocks of a cache that only a GPU's kernel reads; export the model with dense "
    "attention",
    "GatedDeltaNet VarlenCausalConvWithState LinearAttention Mamba2Verify": "its state is carried "
    "from token to token inside the kernel; export the recurrence as a Loop or Scan",
    "QOrderedLongformerAttention QuantizeWithOrder DequantizeWithOrder QuantizeBFP DequantizeBFP "
    "GemmFloat8 MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight MatMulNBitsMlp "
    "MatMulNBitsQkv": "it is laid out for one kind of GPU and does not run on a CPU; explain the "
    "model it was quantised from",
    "GatherPacked MatMulPacked MoEPacked": "its weights are packed in a format that its kernel "
    "alone unpacks; explain the model they were packed from",
    "ConvStateReplay GatedDeltaNetStateReplay SpeculativePrefixCommit": "it keeps the books of a "
    "decoder that guesses ahead, in buffers of a GPU; explain the decoder without it, one token at "
    "a time",
    "SparseAttention": "its mask is a list of blocks that only its kernel reads; export the model "
    "with dense attention",
    "AttnLSTM": "it runs an attention inside a recurrence; export the model without this fusion",
    "CropAndResize": "its sampling places differ from those of RoiAlign; export the crop as Slice "
    "and Resize, or as GridSample",
    "SparseToDenseMatMul": "its first operand is a sparse tensor, and only dense ones can be "
    "explained; export the model with a MatMul",
    "MaxpoolWithMask": "its mask ends a row of the window at the first place left out, wherever "
    "that is; export the model with a MaxPool of the masked tensor",
    "Inverse": "the inverse of a matrix that depends on the input is no sum of contributions of "
    "its entries",
    "EPContext Snpe": "it is a compiled program of another device",
}
for _op_types, _reason in _REASONS.items():
    refuse(_op_types, _reason)

refuse(
    "AveragePool Conv GlobalAveragePool GlobalMaxPool MaxPool ReorderInput ReorderOutput Upsample",
    "its channels are blocked for one processor; save the model with graph optimisation level "
    "ORT_ENABLE_EXTENDED or lower, or explain the model it was optimised from",
    domain="com.microsoft.nchwc",
)
