"""Examples into numbers: tokenizers, steps with labels, windows, padded batches.   Knows no corpus."""
