"""Formats in which records are handed on: one module each, rows in, bytes out, one at a time."""
