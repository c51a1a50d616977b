"""Exports: files with which a scheduler runs a pipeline, one module per format.

An export only reads the project: it runs nothing, resolves no variable and connects to nothing. Every value enters a
file through the format's own serializer, so that it stays text whatever characters it has.
"""
