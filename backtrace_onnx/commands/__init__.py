"""What each command of the command line does.

Options and paths enter; exit codes, files and printed text leave.
"""
