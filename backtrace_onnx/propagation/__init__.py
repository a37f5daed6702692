"""The plan, the forward run, the walk back and the ledger.

A `Graph` and arrays enter; relevance of every tensor and a `Ledger` leave.
It never names an operator.
"""
