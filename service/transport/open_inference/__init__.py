"""The Open Inference Protocol, version 2, beside the own API: tensors in and out, over the same serving layer."""
