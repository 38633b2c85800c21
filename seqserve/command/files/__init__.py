"""Files that the `seqserve` command reads and writes: readings, melodies, pictures, state tokens."""
