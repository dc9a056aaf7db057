"""What is learned of a source before anything is generated: judges, tokens, LoRAs."""
