"""Gives the softmax at the end of an int8 file its answer in float32."""

from __future__ import annotations

import pathlib


def widen_softmax(path: pathlib.Path) -> bool:
    """Rewrites SOFTMAX (int8) -> DEQUANTIZE at an output of a file as DEQUANTIZE -> SOFTMAX (float32).

    The int8 softmax of LiteRT has steps of 1/256: of 400 classes all but the first few would answer exactly 0.

    Returns:
        Whether the file had one and was changed.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(path.read_bytes(), 0))
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    changed = False
    for graph in model.subgraphs:
        makers = {output: operator for operator in graph.operators for output in operator.outputs}
        readers = [tensor for operator in graph.operators for tensor in operator.inputs]
        for output in graph.outputs:
            last = makers.get(output)
            before = makers.get(last.inputs[0]) if last is not None else None
            if before is None or readers.count(last.inputs[0]) != 1:
                continue
            kinds = (codes[before.opcodeIndex], codes[last.opcodeIndex])
            if kinds != (schema.BuiltinOperator.SOFTMAX, schema.BuiltinOperator.DEQUANTIZE):
                continue
            # The two operators change places; the tensor between them holds the dequantised numbers now.
            between = graph.tensors[last.inputs[0]]
            between.type, between.quantization = schema.TensorType.FLOAT32, None
            for name in ("opcodeIndex", "builtinOptionsType", "builtinOptions"):
                first, second = getattr(before, name), getattr(last, name)
                setattr(before, name, second)
                setattr(last, name, first)
            changed = True
    if changed:
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        path.write_bytes(bytes(builder.Output()))
    return changed
