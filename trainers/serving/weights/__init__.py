"""Send new weights from the trainer to all teacher servers: one module per transport."""
