"""Texts and tokenizers: texts and the inputs of a language model enter.

Ids, masks, positions and empty caches leave, and tokens to name what comes back.
It never knows relevance.
"""
