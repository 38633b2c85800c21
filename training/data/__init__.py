"""Where examples come from and how they become padded token ids.   Knows numpy and tokenizers; never torch."""
