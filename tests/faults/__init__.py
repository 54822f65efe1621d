"""What befalls the wires and the servers around bibsync, while it runs and before."""
