"""Recipes: the sections of a TOML file as frozen models.   Parses and checks; reads no data."""
