"""Networks written as ONNX graphs, in every precision.   Runs none."""
