"""Other people's ways of doing the same work."""

PLAN = []
