"""Measurements of the product against a plain baseline in the same run, one module per bench."""
