"""The sections of a report, one file per subject: each turns findings into texts, tables and pictures."""
