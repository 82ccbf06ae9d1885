"""Disks that leave: the process that converts and uploads them, and where they may go."""
