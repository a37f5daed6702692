"""Operators of onnxruntime that are not explained, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable

from backtrace_onnx.expansions.registry import refuse

MICROSOFT, BLOCKED = "com.microsoft", "com.microsoft.nchwc"


def _alike(names: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


def _joined(groups: Iterable[dict[str, str]]) -> dict[str, str]:
    return {name: reason for group in groups for name, reason in group.items()}


refuse(
    _joined(
        [
            _alike(
                "BeamSearch GreedySearch Sampling WhisperBeamSearch",
                "it generates a text token by token, and its answer is no function that could be "
                "traced back; explain the decoder inside it, one token at a time",
            ),
            _alike(
                "PagedAttention SparsePagedAttention DynamicSparseAttention SparseAttentionIndexer "
                "PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge",
                "its keys and values lie in pages or blocks of a cache that only a GPU's kernel "
                "reads; export the model with dense attention",
            ),
            _alike(
                "GatedDeltaNet VarlenCausalConvWithState LinearAttention Mamba2Verify",
                "its state is carried from token to token inside the kernel; export the recurrence "
                "as a Loop or Scan",
            ),
            _alike(
                "QOrderedLongformerAttention QuantizeWithOrder DequantizeWithOrder QuantizeBFP "
                "DequantizeBFP GemmFloat8 MatMulBlockQuantizedFp4Weight "
                "MatMulBlockQuantizedFp8Weight MatMulNBitsMlp MatMulNBitsQkv",
                "it is laid out for one kind of GPU and does not run on a CPU; explain the model "
                "it was quantised from",
            ),
            _alike(
                "GatherPacked MatMulPacked MoEPacked",
                "its weights are packed in a format that its kernel alone unpacks; explain the "
                "model they were packed from",
            ),
            _alike(
                "ConvStateReplay GatedDeltaNetStateReplay SpeculativePrefixCommit",
                "it keeps the books of a decoder that guesses ahead, in buffers of a GPU; explain "
                "the decoder without it, one token at a time",
            ),
            _alike(
                "SparseAttention",
                "its mask is a list of blocks that only its kernel reads; export the model with "
                "dense attention",
            ),
            _alike(
                "AttnLSTM",
                "it runs an attention inside a recurrence; export the model without this fusion",
            ),
            _alike(
                "CropAndResize",
                "its sampling places differ from those of RoiAlign; export the crop as Slice and "
                "Resize, or as GridSample",
            ),
            _alike(
                "SparseToDenseMatMul",
                "its first operand is a sparse tensor, and only dense ones can be explained; "
                "export the model with a MatMul",
            ),
            _alike(
                "MaxpoolWithMask",
                "its mask ends a row of the window at the first place left out, wherever that is; "
                "export the model with a MaxPool of the masked tensor",
            ),
            _alike(
                "Inverse",
                "the inverse of a matrix that depends on the input is no sum of contributions of "
                "its entries",
            ),
            _alike("EPContext Snpe", "it is a compiled program of another device"),
        ]
    ),
    domain=MICROSOFT,
)

refuse(
    _alike(
        "AveragePool Conv GlobalAveragePool GlobalMaxPool MaxPool ReorderInput ReorderOutput "
        "Upsample",
        "its channels are blocked for one processor; save the model with graph optimisation level "
        "ORT_ENABLE_EXTENDED or lower, or explain the model it was optimised from",
    ),
    domain=BLOCKED,
)
