"""Texts, tokenizers, caches and generation.

Texts enter; ids, masks and positions leave, and tokens for what comes back.
"""
