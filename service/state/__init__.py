"""State that travels: keys, signed tokens, what is in them.   Plain bytes and values; knows no model and no queue."""
