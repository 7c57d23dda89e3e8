"""What the command line's commands are made of. Each loads what it needs when it is called, and nothing else."""
