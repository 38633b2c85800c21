"""Batches, decoding and sampling over plain arrays.   Knows no queue, wire or onnxruntime: it is handed steps."""
