"""`make demo`: the whole path once, on small models.   Wires what users wire: commands, a server process, a client."""
