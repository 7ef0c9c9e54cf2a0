"""Compiled helpers of the data path (csrc/data, csrc/syntax): plain C interfaces, without torch."""
