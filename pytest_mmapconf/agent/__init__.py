"""A backend in another process: the protocol, its client, and the agent in C for the Linux system it runs on."""
