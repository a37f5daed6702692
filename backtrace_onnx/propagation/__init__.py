"""Plan, forward run, walk back and books: a `Graph`, arrays and a start enter.

Relevance by tensor leaves, and a `Ledger` that closes.
Its walk never names an operator.
"""
