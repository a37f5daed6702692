"""What comes out and how it is kept: relevance, ledgers and plans enter.

Archives, sums by module and by group, doubts, and tables of support leave.
It never draws.
"""
