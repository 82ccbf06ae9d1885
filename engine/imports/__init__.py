"""Disk images from outside: where they may come from, and the process that fetches and converts them."""
