"""Pages of HTML that are one file: explained samples, or a template and values, enter.

A text leaves that needs nothing else: no other file, no network.
It never computes relevance.
"""
