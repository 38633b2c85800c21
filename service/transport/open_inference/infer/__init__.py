"""ModelInfer and its stream: tensors and parameters into checked calls, calls into replies."""
