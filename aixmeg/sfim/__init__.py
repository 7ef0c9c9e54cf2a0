"""Structured fill-in-the-middle: which node of a file becomes the middle, and how the example is laid out."""
