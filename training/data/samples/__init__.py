"""Small corpora that the project generates itself, by grammars of its own: no text of anyone else is in them.

Each is the same on every machine. Its test examples hold pairings of words (or of key, metre and starting note) that no
training example holds: a model scores on them by having learnt the parts, not by having seen the whole.
"""
