"""Models as the trainer holds them: loaded, adapted, gathered for the servers, merged and saved with a card."""
