"""What people and machines read of an audit: a report enters.

Tables, JSON, JUnit, SARIF, Markdown, pages, model cards and annotations leave, as text.
It never runs a check, nor changes what one found.
"""
