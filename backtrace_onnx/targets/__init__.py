"""What is being explained: which output, which entry of it, and what relevance starts there.

A request and a run's outputs enter; the start leaves. It never knows how relevance travels.
"""
