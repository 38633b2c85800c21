"""The server: bundles in, answers over gRPC out.   Never sees torch or training."""
