"""What people look at: an `Explanation` and its sidecar enter.

Pictures, pages, tables and sentences leave.
It never computes relevance.
"""
