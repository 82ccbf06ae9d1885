"""Flow logs: what passed the cards of guests and what was dropped, written down as EC2 does."""
