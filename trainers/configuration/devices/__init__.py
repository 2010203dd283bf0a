"""Find this machine's GPUs, and place servers on them."""
