"""Runs a bundle's graphs on ONNX Runtime: sessions, proof, models.   Knows no queue, no settings and no metrics."""

import os

# onnxruntime's wheels send usage data by default, and read this once, when they are first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
