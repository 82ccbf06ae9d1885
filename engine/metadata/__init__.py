"""The instance metadata service (IMDS): what a guest asks at 169.254.169.254, answered by one process on every host."""
