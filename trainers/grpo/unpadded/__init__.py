"""Divide a rollout into micro-batches without padding, and weigh and log what they hold."""
