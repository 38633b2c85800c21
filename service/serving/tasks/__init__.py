"""What differs by task: texts and sequences into what engines take, and what they say into answers."""
