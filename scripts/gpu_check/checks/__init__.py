"""The checks by what they look at: the machine, servers, trainers, and the speed of both."""
