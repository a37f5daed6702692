"""What comes out and how it is kept: archives, modules, groups, stages, support.

Relevance and ledgers enter; summaries leave. They never draw.
"""
