"""Bytes on their way from a source: the connections, their pace, and what they may use of the network."""
