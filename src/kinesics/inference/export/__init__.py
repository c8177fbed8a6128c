"""A trained run as one file that runs without kinesics: graph, integers, parity check, what the file says of itself."""
