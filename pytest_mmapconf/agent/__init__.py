"""A backend in another process: the protocol, its client, and the agent in C that lends the system it runs on."""
