"""Long proofs against real servers, each a program with its figures: `make soak`."""
