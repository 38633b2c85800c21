"""The contract between training and service: a folder with graphs, tokenizer, manifest and proof.   See FORMAT.md."""
