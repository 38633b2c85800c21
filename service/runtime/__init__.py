"""Runs a bundle's graphs on ONNX Runtime: sessions, proof, models.   Knows no queue, no settings and no metrics."""
