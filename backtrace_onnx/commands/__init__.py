"""What each command of the command line does: options and paths enter.

Exit codes, files and printed text leave.
It never knows how relevance is computed.
"""
