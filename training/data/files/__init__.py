"""Readers of file formats: a user's own files, and what corpora are built on.   Each line at fault is named."""
