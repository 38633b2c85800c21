"""The contract's other half: text to ids and back, one and the same code in training and in serving."""
