"""The networks, one idea per file.   Plain torch modules: they know no files, no recipes on disk and no ONNX."""
