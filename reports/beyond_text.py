"""What the page says in words."""

OPENING = ""
CLOSING = ""
NOTES: dict[str, str] = {}
